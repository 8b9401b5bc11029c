import { Anchor, Button, Group, Select, SimpleGrid, Stack, Table, Text, Timeline } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'wouter';
import { useAction } from '../api/action.ts';
import { useAnswer, withQuery } from '../api/queries.ts';
import type { Adapter, AdapterList, AdapterWithHistory } from '../api/types.ts';
import { TimeChart } from '../charts/time-chart.tsx';
import { Answered } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { tellDone, tellProblem } from '../parts/done.ts';
import { bytes, compact, moment, plain, score, shortDigest, words } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Tag } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';
import { Lineage } from './lineage.tsx';
import { playgroundOf } from './playground/subject.ts';

export default function AdapterPage({ reference }: { readonly reference: string }) {
  const adapter = useAnswer<AdapterWithHistory>(`/api/adapters/${encodeURIComponent(reference)}`);
  return (
    <Page
      title={adapter.data?.id ?? reference}
      about={adapter.data && `${adapter.data.method} on ${adapter.data.base.name}`}
      actions={adapter.data && <Actions adapter={adapter.data} />}
    >
      <Answered query={adapter} what="Adapters">
        {(data) => (
          <>
            <Panel title="Lineage" about="What it was made of, and what points at it">
              <Lineage adapter={data} />
            </Panel>
            <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg" style={{ alignItems: 'start' }}>
              <Facts adapter={data} />
              <Stack gap="lg" miw={0}>
                <Scores adapter={data} />
                <History adapter={data} />
              </Stack>
            </SimpleGrid>
          </>
        )}
      </Answered>
    </Page>
  );
}

function Actions({ adapter }: { readonly adapter: AdapterWithHistory }) {
  const { api, may } = useSession();
  const queries = useQueryClient();
  const { task, version, aliases, id } = adapter;
  const promote = useAction({
    mutationFn: () =>
      api.json(`/api/routes/${encodeURIComponent(task)}/promote`, { method: 'POST', body: { version } }),
    onSuccess: () => {
      tellDone(`${task} is answered by version ${version} from the next request on`);
      return queries.invalidateQueries();
    },
    onError: tellProblem,
  });
  return (
    <>
      <Button component={Link} href={playgroundOf(id)} variant="default">
        Ask it
      </Button>
      {may.route && !aliases.includes('latest') && (
        <Button loading={promote.isPending} onClick={() => promote.mutate()}>
          Make it latest
        </Button>
      )}
    </>
  );
}

function Facts({ adapter }: { readonly adapter: Adapter }) {
  const facts: readonly (readonly [string, string])[] = [
    ['Digest', adapter.digest],
    ['Method', adapter.rank === null ? adapter.method : `${adapter.method}, rank ${adapter.rank}`],
    ...classesOf(adapter),
    ['Trained parameters', compact(adapter.parameters)],
    ['Size', bytes(adapter.bytes)],
    ['Published', moment(adapter.created_at)],
    ...provenanceOf(adapter),
  ];
  return (
    <Panel title="Provenance">
      <Table verticalSpacing={6} layout="fixed">
        <Table.Tbody>
          {facts.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th
                w={150}
                fw={500}
                c="dimmed"
                fz="sm"
                scope="row"
                className="fact"
                style={{ verticalAlign: 'top' }}
              >
                {name}
              </Table.Th>
              <Table.Td fz="sm" style={{ overflowWrap: 'anywhere' }}>
                {value}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Panel>
  );
}

function classesOf({ classes }: Adapter): (readonly [string, string])[] {
  if (classes === null) return [];
  const labels = ['Labels', classes.labels.join(', ')] as const;
  return classes.reads === null ? [labels] : [labels, ['Labels of', classes.reads]];
}

/** What the version says of its making, nested values flat; a run's labels are the version's, which stand above. */
function provenanceOf({ provenance, classes }: Adapter): (readonly [string, string])[] {
  const flat = (name: string, value: unknown): (readonly [string, string])[] => {
    if (value === null || value === undefined || value === '' || (name === 'labels' && classes !== null)) return [];
    if (typeof value !== 'object') return [[words(name), typeof value === 'number' ? score(value) : plain(value)]];
    if (Array.isArray(value)) return value.length > 0 ? [[words(name), value.map(String).join(', ')]] : [];
    return Object.entries(value).flatMap(([key, inner]) => flat(key, inner));
  };
  return Object.entries(provenance).flatMap(([name, value]) => flat(name, value));
}

function History({ adapter: { task, history } }: { readonly adapter: AdapterWithHistory }) {
  const newest = history.toReversed().slice(0, 8);
  return (
    <Panel title="What answered" about={`Where the alias latest of ${task} has pointed`}>
      {newest.length === 0 ? (
        <Text size="sm" c="dimmed">
          It has pointed nowhere yet.
        </Text>
      ) : (
        <Timeline active={0} bulletSize={14} lineWidth={2} color="leaf">
          {newest.map(({ version, changed_at: at }, index) => (
            <Timeline.Item key={`${at} ${index}`} title={`version ${version}`}>
              <Text size="sm" c="dimmed">
                {index === 0 ? `since ${moment(at)}` : moment(at)}
              </Text>
            </Timeline.Item>
          ))}
        </Timeline>
      )}
    </Panel>
  );
}

/** The scores of all versions of the task, one beside the other. */
function Scores({ adapter }: { readonly adapter: Adapter }) {
  const { tenant, task } = adapter;
  const found = useAnswer<AdapterList>(withQuery('/api/adapters', { tenant, q: task, limit: 500 }));
  const [chosen, setChosen] = useState<string | null>(null);
  return (
    <Panel title="Scores" about={`of every version of ${task}`}>
      <Answered query={found} what="Scores">
        {({ data }) => {
          const versions = data.filter((one) => one.task === task);
          const names = [...new Set(versions.flatMap(({ metrics }) => Object.keys(metrics)))].toSorted();
          if (names.length === 0) return <Text c="dimmed">No version has a score.</Text>;
          const name = chosen ?? (names.includes('validLoss') ? 'validLoss' : names[0]);
          const scored = versions.filter(({ metrics }) => name in metrics);
          return (
            <Stack>
              {scored.length > 1 && (
                <>
                  <Select
                    label="Score"
                    data={names.map((value) => ({ value, label: words(value) }))}
                    value={name}
                    onChange={setChosen}
                    allowDeselect={false}
                    maw={260}
                  />
                  <TimeChart
                    label={`${words(name)} by version.`}
                    x={scored.map(({ version }) => version)}
                    xLabel="version"
                    series={[
                      {
                        name: words(name),
                        color: 1,
                        hasDots: true,
                        values: scored.map(({ metrics }) => metrics[name]),
                      },
                    ]}
                    height={180}
                    format={score}
                  />
                </>
              )}
              <DataTable
                label="Scores by version"
                rows={versions.toReversed()}
                idOf={({ id }) => id}
                columns={[
                  {
                    name: 'Version',
                    cell: ({ id, version, aliases }) => (
                      <Group gap={6} wrap="nowrap">
                        {id === adapter.id ? (
                          <strong>{version}</strong>
                        ) : (
                          <Anchor component={Link} href={`/adapters/${id}`}>
                            {version}
                          </Anchor>
                        )}
                        {aliases.map((alias) => (
                          <Tag key={alias} isStrong>
                            {alias}
                          </Tag>
                        ))}
                      </Group>
                    ),
                  },
                  ...names.map((one) => ({
                    name: words(one),
                    isNumber: true,
                    cell: ({ metrics }: Adapter) => (one in metrics ? score(metrics[one]) : '–'),
                  })),
                  { name: 'Digest', cell: ({ digest }) => <span className="mono">{shortDigest(digest)}</span> },
                ]}
              />
            </Stack>
          );
        }}
      </Answered>
    </Panel>
  );
}
