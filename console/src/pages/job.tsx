import { Button, Group, SimpleGrid, Skeleton, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import { useAction } from '../api/action.ts';
import { useAnswer } from '../api/queries.ts';
import type { Checkpoint, CheckpointList, Job, JobEvent } from '../api/types.ts';
import { Answered, Nothing } from '../parts/answer-state.tsx';
import { Copy } from '../parts/copy.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { tellProblem } from '../parts/done.ts';
import { Figure, Figures } from '../parts/figure.tsx';
import { ago, count, counted, duration, moment, score, timeOfDay } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Status, Toned } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';
import { isOver, useJobEvents } from './job-events.ts';
import { playgroundOf } from './playground/subject.ts';
import { LossCurves } from './loss-curves.tsx';

const EVERY_MS = 1_500;

export default function JobPage({ id }: { readonly id: string }) {
  const job = useAnswer<Job>(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}`, { every: EVERY_MS });
  return (
    <Page
      title="Fine-tuning job"
      about={<span className="mono">{id}</span>}
      actions={job.data && <Commands job={job.data} />}
    >
      <Answered query={job} what="Jobs">
        {(data) => <JobDetails job={data} />}
      </Answered>
    </Page>
  );
}

/** `dora of rank 4` */
function adapterOf({ peft: { method, rank } }: Job): string {
  return rank === null ? method : `${method} of rank ${rank}`;
}

/** A job with its curves and events. */
function JobDetails({ job }: { readonly job: Job }) {
  const { events, isPending } = useJobEvents(job);
  const steps = events.filter(({ data }) => data !== undefined);
  const last = steps.at(-1)?.data;
  const began = job.created_at;
  const { status } = job;
  return (
    <>
      <Figures>
        <Figure name="Status" value={<Status of={status} />} note={`made ${moment(began)}`} />
        <Figure
          name="Step"
          value={last ? `${count(last.step)} / ${count(last.total_steps)}` : '–'}
          note={`${counted(job.hyperparameters.n_epochs, 'epoch')}, ${counted(job.hyperparameters.batch_size, 'example')} a step`}
        />
        <Figure
          name="Training loss"
          value={last ? score(last.train_loss) : '–'}
          note={`${job.method.type}, ${adapterOf(job)}`}
        />
        <Figure
          name={isOver(status) ? 'Took' : 'Left, about'}
          value={timeOf(job)}
          note={job.trained_tokens === null ? job.model : `${count(job.trained_tokens)} tokens`}
        />
      </Figures>
      {job.error && (
        <Panel title="Why it failed">
          <Text c="var(--bad)" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
            {job.error.message}
          </Text>
        </Panel>
      )}
      {job.fine_tuned_model !== null && <Result model={job.fine_tuned_model} />}
      <Panel title="Loss" about="by step, as it is trained">
        {isPending ? (
          <Skeleton height={260} aria-busy="true" />
        ) : steps.length === 0 ? (
          <Nothing title="No step has been taken yet" />
        ) : (
          <LossCurves events={steps} />
        )}
      </Panel>
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg">
        <Events events={events} />
        <Checkpoints job={job} />
      </SimpleGrid>
    </>
  );
}

function timeOf({ created_at: begun, finished_at: finished, estimated_finish: estimated }: Job): string {
  if (finished !== null) return duration(finished - begun);
  if (estimated === null) return '–';
  return duration(Math.max(1, estimated - Date.now() / 1000));
}

function Result({ model }: { readonly model: string }) {
  return (
    <Panel title="The model" about="A request may name it at once">
      <Group gap="sm">
        <Text className="mono" style={{ overflowWrap: 'anywhere' }}>
          {model}
        </Text>
        <Copy value={model} size="xs" />
        <Button component={Link} href={playgroundOf(model)} size="xs">
          Ask it
        </Button>
      </Group>
    </Panel>
  );
}

const COMMANDS = [
  { command: 'pause', name: 'Pause', states: ['queued', 'running', 'validating_files'] },
  { command: 'resume', name: 'Resume', states: ['paused'] },
  { command: 'cancel', name: 'Cancel', states: ['validating_files', 'queued', 'running', 'paused'] },
] as const satisfies readonly { command: string; name: string; states: readonly Job['status'][] }[];

function Commands({ job }: { readonly job: Job }) {
  const { api, may } = useSession();
  const queries = useQueryClient();
  const path = `/v1/fine_tuning/jobs/${job.id}`;
  const order = useAction({
    mutationFn: (command: string) => api.json<Job>(`${path}/${command}`, { method: 'POST' }),
    onSuccess: () => queries.invalidateQueries({ queryKey: [path] }),
    onError: tellProblem,
  });
  if (!may.train) return null;
  return COMMANDS.filter(({ states }) => states.some((state) => state === job.status)).map(({ command, name }) => (
    <Button
      key={command}
      variant="default"
      loading={order.isPending && order.variables === command}
      onClick={() => order.mutate(command)}
    >
      {name}
    </Button>
  ));
}

function Events({ events }: { readonly events: readonly JobEvent[] }) {
  const tones = { info: 'quiet', warn: 'wait', error: 'bad' } as const;
  const newest = events.toReversed().slice(0, 100);
  return (
    <Panel title="Events" about="the newest first">
      <div
        className="scroll"
        role="region"
        aria-label="Events"
        tabIndex={0}
        style={{ maxHeight: 320, overflowY: 'auto' }}
      >
        {newest.map(({ id, created_at: at, level, message }) => (
          <Group key={id} gap="sm" wrap="nowrap" align="baseline" py={3}>
            <Text size="xs" c="dimmed" className="number" style={{ flexShrink: 0 }}>
              {timeOfDay(at)}
            </Text>
            {level === 'info' ? <Text size="sm">{message}</Text> : <Toned tone={tones[level]}>{message}</Toned>}
          </Group>
        ))}
      </div>
    </Panel>
  );
}

function Checkpoints({ job }: { readonly job: Job }) {
  const checkpoints = useAnswer<CheckpointList>(`/v1/fine_tuning/jobs/${job.id}/checkpoints?limit=20`, {
    every: isOver(job.status) ? false : 4_000,
  });
  return (
    <Panel title="Checkpoints" about="Each is a model that can be asked">
      <Answered query={checkpoints} what="Checkpoints">
        {({ data }) =>
          data.length === 0 ? (
            <Nothing title="None yet" />
          ) : (
            <DataTable
              label="Checkpoints"
              rows={data}
              idOf={({ id }) => id}
              columns={[
                { name: 'Step', isNumber: true, cell: (one) => count(one.step_number) },
                { name: 'Training loss', isNumber: true, cell: ({ metrics }) => score(metrics.train_loss) },
                {
                  name: 'Held-out loss',
                  isNumber: true,
                  cell: ({ metrics }: Checkpoint) => scoreOr(metrics.full_valid_loss),
                },
                { name: 'Made', isNumber: true, cell: (one) => ago(one.created_at) },
                {
                  name: '',
                  cell: (one) => (
                    <Button
                      component={Link}
                      href={playgroundOf(one.fine_tuned_model_checkpoint)}
                      variant="default"
                      size="compact-xs"
                    >
                      Ask it
                    </Button>
                  ),
                },
              ]}
            />
          )
        }
      </Answered>
    </Panel>
  );
}

function scoreOr(value: number | undefined): string {
  return value === undefined ? '–' : score(value);
}
