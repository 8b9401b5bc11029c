import { useState } from 'react';
import { Button, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useAnswer } from '../../api/queries.ts';
import type { ShadowReport, TaskRoute } from '../../api/types.ts';
import { DataTable } from '../../parts/data-table.tsx';
import { tellProblem } from '../../parts/done.ts';
import { count, duration, moment, percent, score } from '../../parts/format.ts';
import { Toned } from '../../parts/status.tsx';
import { useSession } from '../../session/session.tsx';
import { useRouteChange } from './change.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { NumberField } from '../../parts/number-field.tsx';
import { VersionField } from './fields.tsx';
import { Section } from './section.tsx';

const EVERY_MS = 2_000;

interface Props {
  readonly route: TaskRoute;
  /** There is one, or was. */
  readonly hasOne: boolean;
}

export function ShadowSection({ route, hasOne }: Props) {
  const { may } = useSession();
  const [isOpen, { open, close }] = useDisclosure(false);
  const isOn = route.shadow !== null;
  const path = `/api/routes/${encodeURIComponent(route.task)}/shadow`;
  const { data: report } = useAnswer<ShadowReport>(path, { enabled: hasOne, every: isOn && EVERY_MS });
  const stop = useRouteChange(route, {
    part: 'shadow',
    method: 'DELETE',
    done: `The shadow of ${route.task} is asked no more`,
    onError: tellProblem,
  });
  return (
    <Section
      title="Shadow"
      about={
        report === undefined ? (
          'None: a version can be asked beside the one that answers, and compared.'
        ) : (
          <Course of={report} />
        )
      }
      actions={
        may.route &&
        (isOn ? (
          <Button variant="default" size="xs" loading={stop.isPending} onClick={() => stop.mutate(undefined)}>
            Stop the shadow
          </Button>
        ) : (
          <Button variant="default" size="xs" onClick={open}>
            Start a shadow
          </Button>
        ))
      }
    >
      {report !== undefined && <Report of={report} />}
      {isOpen && <ShadowForm route={route} onClose={close} />}
    </Section>
  );
}

function Course({ of }: { readonly of: ShadowReport }) {
  return (
    <>
      {of.ended_at === null ? <Toned tone="busy">running</Toned> : <Toned tone="quiet">stopped</Toned>} version{' '}
      {of.version}, {percent(of.share)} of the requests
      {of.ended_at === null ? `, since ${moment(of.started_at)}` : `, until ${moment(of.ended_at)}`}.
      <br />
      {count(of.compared)} compared, {count(of.failed)} failed, {count(of.skipped)} skipped for want of a quiet moment.
      {of.last_error !== null && ` The last error: ${of.last_error}`}
    </>
  );
}

function Report({ of }: { readonly of: ShadowReport }) {
  if (of.compared === 0 || of.primary === null || of.shadow === null) return null;
  const rows = [
    { name: 'what answered', ...of.primary },
    { name: `version ${of.version}`, ...of.shadow },
  ];
  return (
    <>
      <Text size="sm">
        {of.equal_share !== null && `${percent(of.equal_share)} of the answers are the same text. `}
        {of.mean_similarity !== null && `Their mean likeness (ROUGE-L) is ${score(of.mean_similarity)}.`}
      </Text>
      <DataTable
        label="Shadow beside what answered"
        rows={rows}
        idOf={({ name }) => name}
        columns={[
          { name: 'Answered by', cell: ({ name }) => name },
          { name: 'Characters', isNumber: true, cell: ({ chars }) => score(chars) },
          { name: 'Tokens', isNumber: true, cell: ({ tokens }) => score(tokens) },
          { name: 'Mean time', isNumber: true, cell: ({ ms }) => duration(ms / 1000) },
        ]}
      />
      {of.least_similar.length > 0 && (
        <DataTable
          label="Requests that differ most"
          rows={of.least_similar.slice(0, 3)}
          idOf={({ request_id }) => request_id}
          columns={[
            { name: 'Differs most', cell: ({ request_id }) => <span className="mono">{request_id}</span> },
            { name: 'Likeness', isNumber: true, cell: ({ similarity }) => score(similarity) },
          ]}
        />
      )}
    </>
  );
}

interface ShadowRequest {
  readonly version: number;
  readonly share: number;
}

function ShadowForm({ route, onClose }: { readonly route: TaskRoute; readonly onClose: () => void }) {
  const [version, setVersion] = useState<number | null>(null);
  const [share, setShare] = useState<number | null>(100);
  const start = useRouteChange<ShadowRequest>(route, {
    part: 'shadow',
    method: 'POST',
    done: `The shadow of ${route.task} is asked from the next request on`,
    onDone: onClose,
  });
  return (
    <FormDialog
      title={`Shadow of ${route.task}`}
      isOpen
      onClose={onClose}
      action="Start the shadow"
      isReady={version !== null && share !== null}
      isPending={start.isPending}
      error={start.error}
      onSubmit={() => version !== null && share !== null && start.mutate({ version, share: share / 100 })}
    >
      <VersionField route={route} value={version} onValue={setVersion} />
      <NumberField
        label="Share of the requests, %"
        description="It is asked when nobody else asks; clients do not see its answers."
        min={1}
        max={100}
        value={share}
        onValue={setShare}
      />
    </FormDialog>
  );
}
