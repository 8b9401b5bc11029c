import { Anchor, Button } from '@mantine/core';
import { Link } from 'wouter';
import { usePagedAnswer } from '../api/queries.ts';
import type { Job } from '../api/types.ts';
import { Nothing } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { ago, count } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { PagedList } from '../parts/paged-list.tsx';
import { Status } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';

const EVERY_MS = 4_000;

export default function Jobs() {
  const { may } = useSession();
  const jobs = usePagedAnswer<Job>('/v1/fine_tuning/jobs', ({ id }) => id, { every: EVERY_MS });
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
        <PagedList
          list={jobs}
          what="Jobs"
          nothing={
            <Nothing title="No job has been made yet">
              {may.train ? 'Train begins one from a JSONL file.' : 'A writer’s key makes them.'}
            </Nothing>
          }
        >
          {(rows) => (
            <DataTable
              label="Fine-tuning jobs"
              rows={rows}
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
                ...(may.isOperator ? [{ name: 'Tenant', cell: (job: Job) => job.organization_id }] : []),
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
        </PagedList>
      </Panel>
    </Page>
  );
}
