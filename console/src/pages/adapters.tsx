import { useEffect } from 'react';
import { Anchor, Group, Switch, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { MagnifyingGlassIcon } from '@radix-ui/react-icons';
import { Link } from 'wouter';
import { usePagedAnswer } from '../api/queries.ts';
import type { Adapter } from '../api/types.ts';
import { useAddressed } from '../parts/address.ts';
import { Nothing } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { ago, bytes, compact, score, words } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { PagedList } from '../parts/paged-list.tsx';
import { Tag } from '../parts/status.tsx';

/** Fewer on the screen, and the next page is asked for too. */
const FEW = 25;
/** Where jobs keep what they have on their way. */
const CHECKPOINTS = 'ft-checkpoints';

export default function Adapters() {
  const [text, setText] = useAddressed('q');
  const [tag, setTag] = useAddressed('tag');
  const [q] = useDebouncedValue(text.trim(), 250);
  const [withTag] = useDebouncedValue(tag.trim(), 250);
  const published = usePagedAnswer<Adapter>('/api/adapters', ({ id }) => id, {
    query: { q, tag: withTag },
    keepsLast: true,
  });
  const [checkpoints, setCheckpoints] = useAddressed('checkpoints');
  const withCheckpoints = checkpoints !== '';
  const adapters = withCheckpoints ? published.data : published.data?.filter(({ task }) => task !== CHECKPOINTS);
  const { hasNextPage, isFetching, fetchNextPage } = published;
  // Pages of nothing but checkpoints are passed over.
  const isShort = adapters !== undefined && adapters.length < FEW && hasNextPage && !isFetching;
  useEffect(() => {
    if (isShort) void fetchNextPage();
  }, [isShort, fetchNextPage]);
  const isAsked = q !== '' || withTag !== '';
  return (
    <Page title="Adapters" about="Every published version: what it was made of, what it scored, what points at it">
      <Panel>
        <Group mb="md" align="flex-end">
          <TextInput
            label="Search"
            placeholder="task, method or base"
            leftSection={<MagnifyingGlassIcon />}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            style={{ flex: '1 1 220px' }}
          />
          <TextInput
            label="Tag"
            placeholder="any"
            value={tag}
            onChange={(event) => setTag(event.currentTarget.value)}
            style={{ flex: '0 1 180px' }}
          />
          <Switch
            label="Checkpoints of jobs"
            checked={withCheckpoints}
            onChange={(event) => setCheckpoints(event.currentTarget.checked ? 'shown' : '')}
            mb={8}
          />
        </Group>
        <PagedList
          list={published}
          items={isShort && adapters.length === 0 ? undefined : adapters}
          what="Adapters"
          nothing={
            <Nothing title={isAsked ? 'Nothing is called so' : 'Nothing has been published yet'}>
              {isAsked ? 'Search for less.' : 'A fine-tuning job publishes what it has trained.'}
            </Nothing>
          }
        >
          {(rows) => <Versions adapters={rows} />}
        </PagedList>
      </Panel>
    </Page>
  );
}

function Versions({ adapters }: { readonly adapters: readonly Adapter[] }) {
  return (
    <DataTable
      label="Adapter versions"
      rows={adapters}
      idOf={({ id }) => id}
      columns={[
        {
          name: 'Version',
          cell: ({ id }) => (
            <Anchor component={Link} href={`/adapters/${id}`} fw={600}>
              {id}
            </Anchor>
          ),
        },
        {
          name: 'Answers as',
          cell: ({ aliases, tags }) => (
            <Group gap={4}>
              {aliases.map((alias) => (
                <Tag key={alias} isStrong>
                  {alias}
                </Tag>
              ))}
              {tags.map((one) => (
                <Tag key={one}>{one}</Tag>
              ))}
            </Group>
          ),
        },
        { name: 'Method', cell: ({ method, rank }) => (rank === null ? method : `${method}, rank ${rank}`) },
        { name: 'Base', cell: ({ base }) => base.name },
        { name: 'Score', cell: ({ metrics }) => <MainScore metrics={metrics} /> },
        { name: 'Trained', isNumber: true, cell: ({ parameters }) => compact(parameters) },
        { name: 'Size', isNumber: true, cell: (one) => bytes(one.bytes) },
        { name: 'Published', isNumber: true, cell: (one) => ago(one.created_at) },
      ]}
    />
  );
}

/** The score that says most: of held-out data before training's own. */
function MainScore({ metrics }: { readonly metrics: Adapter['metrics'] }) {
  const name =
    ['accuracy', 'exactMatch', 'validAccuracy', 'validLoss', 'trainLoss'].find((one) => one in metrics) ??
    Object.keys(metrics)[0];
  if (name === undefined) return '–';
  return (
    <>
      <span className="number">{score(metrics[name])}</span>{' '}
      <Text span size="xs" c="dimmed">
        {words(name)}
      </Text>
    </>
  );
}
