import { useMemo } from 'react';
import { Button, Group, SegmentedControl, Select, SimpleGrid } from '@mantine/core';
import { DownloadIcon } from '@radix-ui/react-icons';
import { useAction } from '../api/action.ts';
import type { UsageLine, UsageList } from '../api/governance.ts';
import { useAnswer, withQuery } from '../api/queries.ts';
import { TimeChart } from '../charts/time-chart.tsx';
import { useAddressed } from '../parts/address.ts';
import { Answered, NotOffered, Nothing } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { tellProblem } from '../parts/done.ts';
import { Figure, Figures } from '../parts/figure.tsx';
import { compact, count, percent, shortDigest } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { useSession } from '../session/session.tsx';
import { Prices } from './prices.tsx';

const PATH = '/api/usage';
const DAY_MS = 24 * 3600 * 1000;
const SPANS = [
  { value: '7', label: '7 days' },
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
];
const GROUPS = [
  { value: 'tenant,adapter', label: 'Tenant and adapter' },
  { value: 'tenant', label: 'Tenant' },
  { value: 'tenant,project', label: 'Tenant and project' },
  { value: 'tenant,month', label: 'Tenant and month' },
];

export default function UsagePage() {
  const { api } = useSession();
  const [days, setDays] = useAddressed('days', '30', SPANS);
  const from = new Date(Date.now() - (Number(days) - 1) * DAY_MS).toISOString().slice(0, 10);
  return (
    <Page
      title="Usage"
      about="Tokens by day, bill lines and prices"
      actions={<SegmentedControl data={SPANS} value={days} onChange={setDays} aria-label="Time to look at" />}
    >
      {api.offers('get', PATH) ? (
        <>
          <ByDay from={from} numDays={Number(days)} />
          <Bill from={from} />
          <Prices />
        </>
      ) : (
        <Panel>
          <NotOffered what="Usage" />
        </Panel>
      )}
    </Page>
  );
}

function ByDay({ from, numDays }: { readonly from: string; readonly numDays: number }) {
  const usage = useAnswer<UsageList>(withQuery(PATH, { from, group: 'day' }));
  return (
    <Answered query={usage} what="Usage">
      {({ data }) => <Charts lines={data} from={from} numDays={numDays} />}
    </Answered>
  );
}

interface ChartsProps {
  readonly lines: readonly UsageLine[];
  readonly from: string;
  readonly numDays: number;
}

function Charts({ lines, from, numDays }: ChartsProps) {
  const { x, of } = useMemo(() => {
    const begin = Date.parse(from);
    const days = Array.from({ length: numDays }, (_, n) => new Date(begin + n * DAY_MS).toISOString().slice(0, 10));
    const sum = (pick: (line: UsageLine) => number): number[] =>
      days.map((day) => lines.filter(({ period }) => period === day).reduce((all, line) => all + pick(line), 0));
    // The axis is in the browser's time: a day of UTC stands where that has the day of the same name.
    return { x: days.map((day) => new Date(`${day}T00:00`).getTime() / 1000), of: sum };
  }, [lines, from, numDays]);
  const total = (pick: (line: UsageLine) => number): number => lines.reduce((all, line) => all + pick(line), 0);
  const prompt = total((line) => line.prompt_tokens);
  const costs = Map.groupBy(
    lines.filter(({ cost }) => cost > 0),
    ({ currency }) => currency ?? '',
  );
  const cost = [...costs].map(([currency, own]) =>
    money(
      own.reduce((all, line) => all + line.cost, 0),
      currency,
      4,
    ),
  );
  return (
    <>
      <Figures>
        <Figure name="Requests" value={compact(total((line) => line.requests))} />
        <Figure
          name="Prompt tokens"
          value={compact(prompt)}
          note={prompt > 0 ? `${percent(total((line) => line.cached_tokens) / prompt)} from the cache` : undefined}
        />
        <Figure name="Answer tokens" value={compact(total((line) => line.completion_tokens))} />
        <Figure
          name="Cost"
          value={cost.length > 0 ? cost.join(' + ') : '–'}
          note={`${compact(total((line) => line.training_tokens))} tokens were trained on`}
        />
      </Figures>
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg">
        <Panel title="Requests" about="by day, UTC">
          <TimeChart
            label="Requests by day."
            x={x}
            isTime
            series={[{ name: 'Requests', color: 2, isBars: true, values: of((line) => line.requests) }]}
          />
        </Panel>
        <Panel title="Tokens" about="by day, UTC">
          <TimeChart
            label="Tokens by day."
            x={x}
            isTime
            series={[
              { name: 'Prompt', color: 2, hasDots: numDays < 31, values: of((line) => line.prompt_tokens) },
              { name: 'Answers', color: 1, hasDots: numDays < 31, values: of((line) => line.completion_tokens) },
              { name: 'Training', color: 3, hasDots: numDays < 31, values: of((line) => line.training_tokens) },
            ]}
          />
        </Panel>
      </SimpleGrid>
    </>
  );
}

function Bill({ from }: { readonly from: string }) {
  const { api } = useSession();
  const [group, setGroup] = useAddressed('lines', 'tenant,adapter', GROUPS);
  const path = withQuery(PATH, { from, group });
  const usage = useAnswer<UsageList>(path);
  const download = useAction({
    mutationFn: async () => {
      const response = await api.send(withQuery(PATH, { from, group, format: 'csv' }));
      const url = URL.createObjectURL(await response.blob());
      const link = document.createElement('a');
      link.href = url;
      link.download = `usage-${from}.csv`;
      link.click();
      URL.revokeObjectURL(url);
    },
    onError: tellProblem,
  });
  return (
    <Panel
      title="Bill lines"
      actions={
        <Group gap="xs">
          <Select
            aria-label="What the lines tell apart"
            size="sm"
            data={GROUPS}
            value={group}
            onChange={(value) => setGroup(value ?? group)}
            allowDeselect={false}
          />
          <Button
            variant="default"
            leftSection={<DownloadIcon />}
            loading={download.isPending}
            onClick={() => download.mutate()}
          >
            CSV
          </Button>
        </Group>
      }
    >
      <Answered query={usage} what="Usage">
        {({ data }) =>
          data.length === 0 ? <Nothing title="Nothing was used in this time" /> : <Lines lines={data} group={group} />
        }
      </Answered>
    </Panel>
  );
}

function Lines({ lines, group }: { readonly lines: readonly UsageLine[]; readonly group: string }) {
  const tells = (name: string): boolean => group.split(',').includes(name);
  return (
    <DataTable
      label="Bill lines"
      rows={lines}
      idOf={(line) => JSON.stringify([line.tenant, line.project, line.adapter, line.period, line.currency])}
      columns={[
        { name: 'Tenant', cell: ({ tenant }) => tenant ?? 'operator' },
        ...(tells('project') ? [{ name: 'Project', cell: ({ project }: UsageLine) => project ?? '–' }] : []),
        ...(tells('month') ? [{ name: 'Month', cell: ({ period }: UsageLine) => period ?? '–' }] : []),
        ...(tells('adapter')
          ? [
              {
                name: 'Adapter',
                cell: ({ adapter }: UsageLine) =>
                  adapter === null || adapter === 'base' ? (
                    'base'
                  ) : (
                    <span className="mono">{shortDigest(adapter)}</span>
                  ),
              },
            ]
          : []),
        { name: 'Requests', isNumber: true, cell: ({ requests }) => count(requests) },
        { name: 'Prompt', isNumber: true, cell: (line) => count(line.prompt_tokens) },
        { name: 'Cached', isNumber: true, cell: (line) => count(line.cached_tokens) },
        { name: 'Answers', isNumber: true, cell: (line) => count(line.completion_tokens) },
        { name: 'Training', isNumber: true, cell: (line) => count(line.training_tokens) },
        {
          name: 'Cost',
          isNumber: true,
          cell: ({ cost, currency }) => (currency === null ? '–' : money(cost, currency)),
        },
      ]}
    />
  );
}

/** @param most digits behind the point, of what is less than a cent */
function money(value: number, currency: string, most = 6): string {
  const digits = value > 0 && value < 0.01 ? most : 2;
  return `${value.toFixed(digits)} ${currency}`.trim();
}
