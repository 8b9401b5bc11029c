import { useState } from 'react';
import { ActionIcon, Anchor, Button, Group, Select, Slider, Stack, Text } from '@mantine/core';
import { Cross2Icon, ResetIcon } from '@radix-ui/react-icons';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import { useAction } from '../../api/action.ts';
import type { TaskRoute } from '../../api/types.ts';
import { Legend } from '../../charts/time-chart.tsx';
import { tellDone, tellProblem } from '../../parts/done.ts';
import { percent } from '../../parts/format.ts';
import { Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { Delivery } from './delivery.tsx';
import { PromoteButton } from './promote.tsx';
import { useVersions } from './versions.ts';

interface Part {
  readonly version: string;
  readonly weight: number;
}

/** Versions that one task is split between, as the colours go. */
const MAX_PARTS = 4;

export function RouteCard({ route }: { readonly route: TaskRoute }) {
  const { api, may } = useSession();
  const queries = useQueryClient();
  const { task } = route;
  const saved = partsOf(route);
  /** What is being written stands over what the server has, which others may change meanwhile. */
  const [written, setWritten] = useState<readonly Part[] | null>(null);
  const parts = written ?? saved;
  const path = `/api/routes/${encodeURIComponent(task)}`;
  const tell = (message: string) => async (): Promise<void> => {
    tellDone(message);
    await queries.invalidateQueries();
  };
  const save = useAction({
    mutationFn: (split: readonly Part[]) =>
      api.json(path, { method: 'POST', body: { split: split.filter(({ weight }) => weight > 0) } }),
    onSuccess: async () => {
      await tell(`The split of ${task} holds from the next request on`)();
      setWritten(null);
    },
    onError: tellProblem,
  });
  const rollback = useAction({
    mutationFn: () => api.json<TaskRoute>(`${path}/rollback`, { method: 'POST', body: {} }),
    onSuccess: ({ latest }) => tell(`${task} is answered by ${latest ?? 'nobody'} again`)(),
    onError: tellProblem,
  });
  const isChanged = JSON.stringify(parts) !== JSON.stringify(saved);
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  const isSplit = parts.length > 1 || (parts[0]?.version ?? 'latest') !== 'latest';
  return (
    <Panel
      title={task}
      about={<Latest route={route} />}
      actions={
        may.route && (
          <>
            <Button
              variant="default"
              size="xs"
              leftSection={<ResetIcon />}
              loading={rollback.isPending}
              onClick={() => rollback.mutate()}
            >
              Roll back
            </Button>
            <PromoteButton route={route} />
          </>
        )
      }
    >
      <Stack gap="md">
        <SplitBar parts={parts} total={total} />
        {parts.map((part, index) => (
          <PartRow
            key={part.version}
            part={part}
            total={total}
            label={`Share of ${task}@${part.version}`}
            isFixed={!may.route || parts.length === 1}
            onWeight={(weight) => setWritten(parts.map((one, n) => (n === index ? { ...one, weight } : one)))}
            onRemove={may.route && parts.length > 1 ? () => setWritten(parts.filter((_, n) => n !== index)) : undefined}
          />
        ))}
        {may.route && (
          <Group justify="space-between" align="flex-end">
            <AddVersion
              route={route}
              taken={parts}
              onAdd={(version) => setWritten([...parts, { version, weight: 10 }])}
            />
            <Group gap="xs">
              {isSplit && !isChanged && (
                <Button variant="default" size="sm" onClick={() => save.mutate([])}>
                  All to latest
                </Button>
              )}
              {isChanged && (
                <>
                  <Button variant="subtle" size="sm" onClick={() => setWritten(null)}>
                    Undo
                  </Button>
                  <Button size="sm" loading={save.isPending} disabled={total <= 0} onClick={() => save.mutate(parts)}>
                    Save the split
                  </Button>
                </>
              )}
            </Group>
          </Group>
        )}
        <Delivery route={route} />
      </Stack>
    </Panel>
  );
}

/** A task that is not split is answered by latest alone. */
function partsOf({ split }: TaskRoute): readonly Part[] {
  if (split.length === 0) return [{ version: 'latest', weight: 100 }];
  const total = split.reduce((sum, { weight }) => sum + weight, 0);
  return split.map(({ version, weight }) => ({ version, weight: Math.round((1000 * weight) / total) / 10 }));
}

function Latest({ route: { latest } }: { readonly route: TaskRoute }) {
  if (latest === null) return <>latest points nowhere</>;
  return (
    <>
      latest is{' '}
      <Anchor component={Link} href={`/adapters/${latest}`} size="sm" underline="always">
        {latest}
      </Anchor>
    </>
  );
}

function SplitBar({ parts, total }: { readonly parts: readonly Part[]; readonly total: number }) {
  return (
    <Stack gap={6}>
      <div className="split-bar" aria-hidden="true">
        {parts.map(({ version, weight }, index) => (
          <div
            key={version}
            style={{ flexGrow: total > 0 ? weight : 1, background: `var(--series-${(index % MAX_PARTS) + 1})` }}
          />
        ))}
      </div>
      <Legend
        series={parts.map(({ version, weight }, index) => ({
          name: `${version} ${percent(total > 0 ? weight / total : 0)}`,
          color: ((index % MAX_PARTS) + 1) as 1 | 2 | 3 | 4,
        }))}
      />
    </Stack>
  );
}

interface PartRowProps {
  readonly part: Part;
  readonly total: number;
  readonly label: string;
  readonly isFixed: boolean;
  readonly onWeight: (weight: number) => void;
  readonly onRemove: (() => void) | undefined;
}

function PartRow({ part, total, label, isFixed, onWeight, onRemove }: PartRowProps) {
  if (isFixed) return null;
  const share = total > 0 ? part.weight / total : 0;
  return (
    <Group wrap="nowrap" gap="sm">
      <Text w={64} size="sm" fw={600} className="mono" truncate>
        {part.version}
      </Text>
      <Slider
        flex={1}
        min={0}
        max={100}
        step={1}
        value={part.weight}
        onChange={onWeight}
        label={null}
        thumbLabel={label}
        thumbProps={{ 'aria-valuetext': percent(share) }}
      />
      <Text w={52} size="sm" ta="right" className="number">
        {percent(share)}
      </Text>
      {onRemove ? (
        <ActionIcon variant="subtle" color="gray" onClick={onRemove} aria-label={`Leave out version ${part.version}`}>
          <Cross2Icon />
        </ActionIcon>
      ) : null}
    </Group>
  );
}

interface AddVersionProps {
  readonly route: TaskRoute;
  readonly taken: readonly Part[];
  readonly onAdd: (version: string) => void;
}

function AddVersion({ route: { task }, taken, onAdd }: AddVersionProps) {
  const versions = useVersions(task).map(({ version }) => String(version));
  const free = ['latest', ...versions.toReversed()].filter((name) => !taken.some(({ version }) => version === name));
  if (free.length === 0 || taken.length >= MAX_PARTS) return <span />;
  return (
    <Select
      label="Add a version"
      placeholder="choose one"
      size="sm"
      w={150}
      data={free}
      value={null}
      onChange={(version) => version !== null && onAdd(version)}
    />
  );
}
