import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useAnswer } from '../../api/queries.ts';
import type { Canary, TaskRoute } from '../../api/types.ts';
import { DataTable } from '../../parts/data-table.tsx';
import { tellProblem } from '../../parts/done.ts';
import { count, duration, moment, percent, score } from '../../parts/format.ts';
import { Status } from '../../parts/status.tsx';
import { useSession } from '../../session/session.tsx';
import { CanaryForm } from './canary-form.tsx';
import { useRouteChange } from './change.ts';
import { Section } from './section.tsx';

const EVERY_MS = 2_000;

interface Props {
  readonly route: TaskRoute;
  /** There is one, or was. */
  readonly hasOne: boolean;
}

export function CanarySection({ route, hasOne }: Props) {
  const { may } = useSession();
  const [isOpen, { open, close }] = useDisclosure(false);
  const isOn = route.canary !== null;
  const path = `/api/routes/${encodeURIComponent(route.task)}/canary`;
  const found = useAnswer<Canary>(path, { enabled: hasOne, every: isOn && EVERY_MS });
  const canary = found.data ?? route.canary;
  const stop = useRouteChange(route, {
    part: 'canary',
    method: 'DELETE',
    done: `The canary of ${route.task} is stopped: the others answer from the next request on`,
    onError: tellProblem,
  });
  return (
    <Section
      title="Canary"
      about={canary === null ? 'None: a new version can answer a part of the sessions first.' : <Course of={canary} />}
      actions={
        may.route &&
        (isOn ? (
          <Button variant="default" size="xs" loading={stop.isPending} onClick={() => stop.mutate(undefined)}>
            Stop the canary
          </Button>
        ) : (
          <Button variant="default" size="xs" onClick={open}>
            Start a canary
          </Button>
        ))
      }
    >
      {canary !== null && <Arms of={canary} />}
      {isOpen && <CanaryForm route={route} onClose={close} />}
    </Section>
  );
}

/** Where it is, by which rules it is judged, and how it ended. */
function Course({ of }: { readonly of: Canary }) {
  const steps = of.shares.map(percent).join(', ');
  const where = of.ended_at === null ? `${percent(of.share)} of the sessions` : `ended ${moment(of.ended_at)}`;
  return (
    <>
      <Status of={of.status} /> version {of.version}, {where}
      {of.reason === null ? '' : `: ${of.reason}`}.<br />
      {of.shares.length === 1 ? `Share ${steps}` : `Steps ${steps}`}, each of {count(of.min_requests)} requests
      {of.min_seconds > 0 && ` and ${duration(of.min_seconds)}`} at least; {rulesOf(of).join('; ')}
      {of.promote ? '; then it is promoted.' : '.'}
    </>
  );
}

function rulesOf(of: Canary): string[] {
  return [
    `errors at most ${percent(of.max_error_increase)} above the others`,
    ...(of.max_error_rate === null ? [] : [`errors at most ${percent(of.max_error_rate)}`]),
    ...(of.min_score === null ? [] : [`mean score at least ${score(of.min_score)}`]),
    ...(of.max_score_drop === null ? [] : [`mean score at most ${score(of.max_score_drop)} below the others`]),
    ...(of.max_latency_factor === null ? [] : [`at most ${score(of.max_latency_factor)} times as slow`]),
  ];
}

/** What was counted on both sides. */
function Arms({ of }: { readonly of: Canary }) {
  const rows = [
    { name: `version ${of.version}`, ...of.canary },
    { name: 'the others', ...of.stable },
  ];
  return (
    <DataTable
      label="Canary beside the others"
      rows={rows}
      idOf={({ name }) => name}
      columns={[
        { name: 'Answered by', cell: ({ name }) => name },
        { name: 'Requests', isNumber: true, cell: ({ requests }) => count(requests) },
        {
          name: 'Errors',
          isNumber: true,
          cell: ({ errors, requests }) => (requests === 0 ? '–' : `${count(errors)} (${percent(errors / requests)})`),
        },
        {
          name: 'Mean time',
          isNumber: true,
          cell: ({ mean_seconds: mean }) => (mean === null ? '–' : duration(mean)),
        },
        {
          name: 'Mean score',
          isNumber: true,
          cell: ({ mean_score: mean, scores }) => (mean === null ? '–' : `${score(mean)} of ${count(scores)}`),
        },
      ]}
    />
  );
}
