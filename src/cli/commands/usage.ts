import { Command, InvalidArgumentError } from 'commander';
import {
  BILL_GROUPS,
  billCsv,
  costText,
  listPrices,
  PRICE_NAMES,
  readBill,
  setPrices,
  type AppConfig,
  type BillGroup,
  type TokenPrices,
} from '../../app/index.ts';
import { fail, systemClock } from '../../base/index.ts';
import { listOf, nonNegativeNumber } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';

const DAYS = 30;
const DAY_MS = 24 * 3600 * 1000;

interface BillOptions extends OutputOptions {
  readonly from?: string;
  readonly to?: string;
  readonly group: readonly BillGroup[];
  readonly csv: boolean;
}

export function usageCommand(config: AppConfig): Command {
  const bill = new Command('bill')
    .description('what was used and what it costs; the last thirty days unless told')
    .argument('[tenant]', 'only this tenant')
    .option('--from <day>', 'the first day, UTC, as 2026-01-31', dayOf)
    .option('--to <day>', 'the last day', dayOf)
    .option('--group <names>', `what lines tell apart: ${BILL_GROUPS.join(', ')}`, listOf(BILL_GROUPS), [
      'tenant',
      'adapter',
    ] as const)
    .option('--csv', 'print the lines as CSV', false)
    .option('--json', 'print one JSON document')
    .action(async (tenant: string | undefined, { from, to, group: groups, csv, json }: BillOptions) => {
      const end = to ?? textOf(systemClock.epochMs());
      const begin = from ?? textOf(Date.parse(end) - DAYS * DAY_MS);
      if (begin > end) fail('USAGE_INVALID', `--from ${begin} is after --to ${end}`, { param: '--from' });
      const lines = await readBill(config, { from: begin, to: end, groups, tenant });
      if (csv) {
        process.stdout.write(billCsv(lines));
        return;
      }
      const rows = lines.map((line) => [
        line.tenant ?? '',
        line.project ?? '',
        line.period ?? '',
        line.adapter?.slice(0, 19) ?? '',
        line.requests,
        line.promptTokens,
        line.cachedTokens,
        line.completionTokens,
        line.trainingTokens,
        line.currency === null ? '-' : `${costText(line.costMicros)} ${line.currency}`,
      ]);
      const head = [
        'tenant',
        'project',
        'period',
        'adapter',
        'requests',
        'prompt',
        'cached',
        'answer',
        'training',
        'cost',
      ];
      new Output({ json }).result(lines, rows.length === 0 ? 'none' : table([head, ...rows]));
    });
  const prices = new Command('prices')
    .description('what a million tokens cost, from today on; without a price, shows all')
    .argument('[tenant]', 'only this tenant’s; everybody’s without it')
    .option('--currency <code>', 'three capital letters, as EUR')
    .option('--prompt <price>', 'of the prompt, but for what was in the cache', nonNegativeNumber)
    .option(
      '--cached <price>',
      'of the prompt’s tokens that were in the cache; as --prompt unless told',
      nonNegativeNumber,
    )
    .option('--completion <price>', 'of the answer', nonNegativeNumber)
    .option('--training <price>', 'of data that a job trains on, once for each epoch', nonNegativeNumber)
    .option('--json', 'print one JSON document')
    .action(async (tenant: string | undefined, { json, ...change }: Partial<TokenPrices> & OutputOptions) => {
      const changed = Object.keys(change).length > 0 ? [await setPrices(config, tenant ?? null, change)] : undefined;
      const all = changed ?? (await listPrices(config)).filter((row) => tenant === undefined || row.tenant === tenant);
      const rows = all.map((row) => [
        row.tenant ?? '(everybody)',
        row.fromDay,
        ...PRICE_NAMES.map((name) => String(row[name] ?? '-')),
        row.currency ?? '-',
      ]);
      const text = rows.length === 0 ? 'none yet' : table([['tenant', 'from', ...PRICE_NAMES, 'currency'], ...rows]);
      new Output({ json }).result(all, text);
    });
  return new Command('usage')
    .description('what tenants have used, and what it costs')
    .addCommand(bill, { isDefault: true })
    .addCommand(prices)
    .addHelpText(
      'after',
      `
Examples:
  espalier usage prices --currency EUR --prompt 0.10 --cached 0.02 --completion 0.40 --training 2
  espalier usage bill acme --group month,adapter --csv`,
    );
}

function textOf(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}

function dayOf(text: string): string {
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
  if (!isDay) throw new InvalidArgumentError('expected a day such as 2026-01-31.');
  return text;
}
