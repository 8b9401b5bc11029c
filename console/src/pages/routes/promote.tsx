import { useState } from 'react';
import { Button, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { TaskRoute } from '../../api/types.ts';
import { DataTable } from '../../parts/data-table.tsx';
import { score } from '../../parts/format.ts';
import { useRouteChange } from './change.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { VersionField, WithoutGate } from './fields.tsx';
import { boundOf } from './gate.tsx';
import { latestVersion, useVersions } from './versions.ts';

interface PromoteRequest {
  readonly version: number;
  readonly gate: boolean;
}

/** Makes another version `latest`, where the task's gate lets it; if not, both scores are shown. */
export function PromoteButton({ route }: { readonly route: TaskRoute }) {
  const [isOpen, { open, close }] = useDisclosure(false);
  const [version, setVersion] = useState<number | null>(null);
  const [isFree, setFree] = useState(false);
  const { task, gate } = route;
  const promote = useRouteChange<PromoteRequest>(route, {
    part: 'promote',
    method: 'POST',
    done: `${task} is answered by version ${version} from the next request on`,
    onDone: leave,
  });
  function leave(): void {
    close();
    promote.reset();
    setVersion(null);
    setFree(false);
  }
  return (
    <>
      <Button size="xs" onClick={open}>
        Promote
      </Button>
      <FormDialog
        title={`Promote a version of ${task}`}
        isOpen={isOpen}
        onClose={leave}
        action="Promote it"
        isReady={version !== null}
        isPending={promote.isPending}
        error={promote.error}
        onSubmit={() => version !== null && promote.mutate({ version, gate: !isFree })}
      >
        <VersionField
          route={route}
          value={version}
          onValue={(next) => {
            promote.reset();
            setVersion(next);
          }}
        />
        {gate !== null && !isFree && (
          <Text size="sm">
            The gate asks for {boundOf(gate)} on {gate.filename}. What is not known yet is measured first, which takes a
            while.
          </Text>
        )}
        {gate !== null && version !== null && <GateScores route={route} metric={gate.metric} version={version} />}
        <WithoutGate route={route} checked={isFree} onChecked={setFree} />
      </FormDialog>
    </>
  );
}

interface GateScoresProps {
  readonly route: TaskRoute;
  readonly metric: string;
  readonly version: number;
}

/** What the gate has measured of the version and of the one that answers. */
function GateScores({ route, metric, version }: GateScoresProps) {
  const latest = latestVersion(route);
  const compared = useVersions(route.task).filter((one) => one.version === version || one.version === latest);
  const name = `gate.${metric}`;
  if (!compared.some(({ metrics }) => name in metrics)) return null;
  return (
    <DataTable
      label="Scores by the gate"
      rows={compared.toReversed()}
      idOf={({ id }) => id}
      columns={[
        { name: 'Version', cell: (one) => `${one.version}${one.version === latest ? ', answers now' : ''}` },
        {
          name: metric,
          isNumber: true,
          cell: ({ metrics }) => (name in metrics ? score(metrics[name]) : 'not measured'),
        },
      ]}
    />
  );
}
