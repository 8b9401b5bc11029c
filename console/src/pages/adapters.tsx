import { useEffect, useState } from 'react';
import { Anchor, Button, Group, Switch, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { MagnifyingGlassIcon } from '@radix-ui/react-icons';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { withQuery } from '../api/queries.ts';
import type { Adapter, AdapterList } from '../api/types.ts';
import { Nothing, Problem } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { ago, bytes, compact, score, words } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Tag } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';

const PAGE = 50;
/** Where jobs keep what they have on their way. */
const CHECKPOINTS = 'ft-checkpoints';

export default function Adapters() {
  const { api } = useSession();
  const [text, setText] = useState('');
  const [tag, setTag] = useState('');
  const [q] = useDebouncedValue(text.trim(), 250);
  const [withTag] = useDebouncedValue(tag.trim(), 250);
  const found = useInfiniteQuery({
    queryKey: ['/api/adapters', q, withTag],
    queryFn: ({ pageParam, signal }) =>
      api.json<AdapterList>(withQuery('/api/adapters', { q, tag: withTag, limit: PAGE, after: pageParam }), { signal }),
    initialPageParam: '',
    getNextPageParam: ({ data, has_more: hasMore }) => (hasMore ? data.at(-1)?.id : undefined),
    placeholderData: keepPreviousData,
  });
  const [withCheckpoints, setWithCheckpoints] = useState(false);
  const all = found.data?.pages.flatMap(({ data }) => data) ?? [];
  const adapters = withCheckpoints ? all : all.filter(({ task }) => task !== CHECKPOINTS);
  const { hasNextPage, isFetching, fetchNextPage } = found;
  // Pages of nothing but checkpoints are passed over.
  const isShort = adapters.length < PAGE / 2 && hasNextPage && !isFetching;
  useEffect(() => {
    if (isShort) void fetchNextPage();
  }, [isShort, fetchNextPage]);
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
            onChange={(event) => setWithCheckpoints(event.currentTarget.checked)}
            mb={8}
          />
        </Group>
        {found.error ? (
          <Problem error={found.error} what="Adapters" />
        ) : adapters.length === 0 && found.isSuccess && !isShort ? (
          <Nothing title={q === '' && withTag === '' ? 'Nothing has been published yet' : 'Nothing is called so'}>
            {q === '' && withTag === '' ? 'A fine-tuning job publishes what it has trained.' : 'Search for less.'}
          </Nothing>
        ) : (
          <Versions adapters={adapters} />
        )}
        {found.hasNextPage && (
          <Button
            mt="md"
            variant="default"
            loading={found.isFetchingNextPage}
            onClick={() => void found.fetchNextPage()}
          >
            Show more
          </Button>
        )}
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
            <Group gap={4} wrap="nowrap">
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
