import { useMemo } from 'react';
import { SegmentedControl, SimpleGrid } from '@mantine/core';
import { useAnswer } from '../api/queries.ts';
import type { Traffic } from '../api/types.ts';
import { TimeChart, type Series } from '../charts/time-chart.tsx';
import { useAddressed } from '../parts/address.ts';
import { Answered } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { Figure, Figures } from '../parts/figure.tsx';
import { compact, count, duration, percent } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Residency } from './residency.tsx';
import { useSession } from '../session/session.tsx';

const EVERY_MS = 5_000;
const SPANS = [
  { value: '15', label: '15 minutes' },
  { value: '60', label: '1 hour' },
];

export default function Overview() {
  const { api } = useSession();
  const [minutes, setMinutes] = useAddressed('minutes', '60', SPANS);
  const traffic = useAnswer<Traffic>('/api/traffic', { every: EVERY_MS });
  const bases = api.session.bases.map(({ name }) => name).join(', ');
  return (
    <Page
      title="Overview"
      about={`Serving ${bases}`}
      actions={<SegmentedControl data={SPANS} value={minutes} onChange={setMinutes} aria-label="Time to look at" />}
    >
      <Answered query={traffic} what="Traffic">
        {(data) => <TrafficPanels traffic={data} minutes={Number(minutes)} />}
      </Answered>
      <Residency />
      <Answered query={traffic} what="Traffic">
        {({ tenants }) => (tenants && tenants.length > 0 ? <ByTenant tenants={tenants} /> : null)}
      </Answered>
    </Page>
  );
}

interface Slot {
  readonly at: number;
  readonly requests: number;
  readonly errors: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

function TrafficPanels({ traffic, minutes }: { readonly traffic: Traffic; readonly minutes: number }) {
  const { slots, seconds } = useMemo(() => slotsOf(traffic, minutes), [traffic, minutes]);
  const recent = traffic.data.filter(({ at }) => at >= traffic.to - 60 * minutes);
  const sum = (of: (one: Traffic['data'][number]) => number): number => recent.reduce((all, one) => all + of(one), 0);
  const requests = sum((one) => one.requests);
  const errors = sum((one) => one.errors);
  const tokens = sum((one) => one.completion_tokens);
  const prompt = sum((one) => one.prompt_tokens);
  const cached = sum((one) => one.cached_tokens);
  const answered = recent.filter(({ mean_first_token_seconds: mean }) => mean !== null);
  const firstToken =
    answered.reduce((all, one) => all + (one.mean_first_token_seconds ?? 0) * one.requests, 0) /
    answered.reduce((all, one) => all + one.requests, 0);
  const x = slots.map(({ at }) => at);
  const per = duration(seconds);
  const requestSeries: Series[] = [
    { name: 'Requests', color: 2, isBars: true, values: slots.map((slot) => slot.requests) },
    { name: 'Errors', color: 3, isBars: true, values: slots.map((slot) => slot.errors) },
  ];
  const tokenSeries: Series[] = [
    { name: 'Prompt tokens', color: 2, values: slots.map((slot) => slot.promptTokens) },
    { name: 'Answer tokens', color: 1, values: slots.map((slot) => slot.completionTokens) },
  ];
  return (
    <>
      <Figures>
        <Figure name="Requests" value={compact(requests)} note={`in ${minutes} minutes`} />
        <Figure name="Answer tokens" value={compact(tokens)} note={`${count(Math.round(tokens / minutes))} a minute`} />
        <Figure
          name="Errors"
          value={percent(requests === 0 ? 0 : errors / requests)}
          note={`${count(errors)} of ${count(requests)} requests`}
        />
        <Figure
          name="To the first token"
          value={Number.isFinite(firstToken) ? duration(firstToken) : '–'}
          note={prompt > 0 ? `${percent(cached / prompt)} of prompts from the cache` : 'on average'}
        />
      </Figures>
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg">
        <Panel title="Requests" about={`to models, each ${per}`}>
          <TimeChart label="Requests and errors over time." x={x} isTime series={requestSeries} />
        </Panel>
        <Panel title="Tokens" about={`read and written, each ${per}`}>
          <TimeChart label="Tokens over time." x={x} isTime series={tokenSeries} />
        </Panel>
      </SimpleGrid>
    </>
  );
}

/** Every interval, those without requests too, with as many put together as make about sixty. */
function slotsOf(traffic: Traffic, minutes: number): { readonly slots: Slot[]; readonly seconds: number } {
  const seconds = traffic.interval_seconds * Math.max(1, Math.round((60 * minutes) / traffic.interval_seconds / 60));
  const end = Math.ceil(traffic.to / seconds) * seconds;
  const begin = end - 60 * minutes;
  const slots = Array.from({ length: Math.round((end - begin) / seconds) }, (_, index): Slot => {
    const at = begin + index * seconds;
    const inside = traffic.data.filter((one) => one.at >= at && one.at < at + seconds);
    const sum = (of: (one: Traffic['data'][number]) => number): number => inside.reduce((all, one) => all + of(one), 0);
    return {
      at,
      requests: sum((one) => one.requests),
      errors: sum((one) => one.errors),
      promptTokens: sum((one) => one.prompt_tokens),
      completionTokens: sum((one) => one.completion_tokens),
    };
  });
  // The interval that has just begun says nothing yet.
  if (slots.at(-1)?.requests === 0) slots.pop();
  return { slots, seconds };
}

function ByTenant({ tenants }: { readonly tenants: NonNullable<Traffic['tenants']> }) {
  return (
    <Panel title="Tenants" about="in the last hour, the busiest first">
      <DataTable
        label="Traffic by tenant"
        rows={tenants.slice(0, 20)}
        idOf={({ tenant }) => tenant}
        columns={[
          { name: 'Tenant', cell: ({ tenant }) => tenant },
          { name: 'Requests', isNumber: true, cell: ({ requests }) => count(requests) },
          { name: 'Errors', isNumber: true, cell: ({ errors }) => count(errors) },
          { name: 'Prompt tokens', isNumber: true, cell: (one) => count(one.prompt_tokens) },
          { name: 'Answer tokens', isNumber: true, cell: (one) => count(one.completion_tokens) },
          {
            name: 'Mean time',
            isNumber: true,
            cell: ({ mean_seconds: mean }) => (mean === null ? '–' : duration(mean)),
          },
        ]}
      />
    </Panel>
  );
}
