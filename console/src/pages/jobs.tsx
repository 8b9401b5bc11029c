import { Anchor, Button } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { withQuery } from '../api/queries.ts';
import type { JobList } from '../api/types.ts';
import { Nothing, Problem } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { ago, count } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Status } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';

const EVERY_MS = 4_000;
const PAGE = 50;

export default function Jobs() {
  const { api, may } = useSession();
  const found = useInfiniteQuery({
    queryKey: ['/v1/fine_tuning/jobs'],
    queryFn: ({ pageParam, signal }) =>
      api.json<JobList>(withQuery('/v1/fine_tuning/jobs', { limit: PAGE, after: pageParam }), { signal }),
    initialPageParam: '',
    getNextPageParam: ({ data, has_more: hasMore }) => (hasMore ? data.at(-1)?.id : undefined),
    refetchInterval: EVERY_MS,
  });
  const jobs = found.data?.pages.flatMap(({ data }) => data) ?? [];
  return (
    <Page
      title="Jobs"
      about="Fine-tuning, the newest first"
      actions={
        may.train && (
          <Button component={Link} href="/train">
            New job
          </Button>
        )
      }
    >
      <Panel>
        {found.error ? (
          <Problem error={found.error} what="Jobs" />
        ) : jobs.length === 0 ? (
          <Nothing title="No job has been made yet">
            {may.train ? 'Train begins one from a JSONL file.' : 'A writer’s key makes them.'}
          </Nothing>
        ) : (
          <DataTable
            label="Fine-tuning jobs"
            rows={jobs}
            idOf={({ id }) => id}
            columns={[
              {
                name: 'Job',
                cell: ({ id }) => (
                  <Anchor component={Link} href={`/jobs/${id}`} className="mono">
                    {id.slice(0, 18)}…
                  </Anchor>
                ),
              },
              { name: 'Status', cell: ({ status }) => <Status of={status} /> },
              ...(may.isOperator
                ? [{ name: 'Tenant', cell: (job: (typeof jobs)[number]) => job.organization_id }]
                : []),
              { name: 'Base', cell: ({ model }) => model },
              { name: 'Method', cell: ({ method }) => method.type },
              {
                name: 'Tokens',
                isNumber: true,
                cell: (job) => (job.trained_tokens === null ? '–' : count(job.trained_tokens)),
              },
              { name: 'Result', cell: (job) => job.fine_tuned_model ?? job.error?.code ?? '–' },
              { name: 'Made', isNumber: true, cell: (job) => ago(job.created_at) },
            ]}
          />
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
