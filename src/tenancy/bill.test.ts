import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Clock } from '../base/index.ts';
import { Database } from '../storage/index.ts';
import { billCsv, billOf, costText } from './bill.ts';
import { Prices } from './prices.ts';
import { TENANCY_MIGRATIONS } from './tables.ts';
import { Tenants } from './tenants.ts';
import { UsageMeter } from './usage.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
let now: number;
const clock: Clock = { nowMs: () => now, epochMs: () => now };
let database: Database;
let prices: Prices;
let meter: UsageMeter;

beforeEach(() => {
  now = Date.UTC(2026, 0, 31);
  database = Database.open(':memory:', [TENANCY_MIGRATIONS], clock);
  prices = new Prices(database, clock);
  meter = new UsageMeter(database, clock);
  const tenants = new Tenants(database, clock);
  for (const name of ['acme', 'globex']) tenants.create(name);
});
afterEach(() => database.close());

function bill(groups: Parameters<typeof billOf>[1], tenant: string | null = null) {
  meter.flush();
  return billOf(meter.read(tenant, '2026-01-01', '2026-12-31'), groups, (name, day) => prices.of(name, day));
}

test('a price holds from its day on, and a tenant’s own comes first', () => {
  prices.set(null, { currency: 'EUR', prompt: 2, completion: 10 });
  prices.set('acme', { completion: 5 });
  now += DAY_MS;
  prices.set(null, { prompt: 3 });
  const all = { currency: 'EUR', prompt: 3, cached: null, completion: 10, training: null };
  assert.deepEqual(prices.of('globex', '2026-02-01'), all);
  assert.deepEqual(prices.of('globex', '2026-01-31'), { ...all, prompt: 2 });
  assert.deepEqual(prices.of('acme', '2026-02-01'), { ...all, completion: 5 });
  assert.equal(prices.of('acme', '2026-01-30').prompt, null, 'before there was a price');
  prices.set('acme', { completion: null });
  assert.equal(prices.of('acme', '2026-02-01').completion, 10, 'null goes back to everybody’s');
  assert.equal(prices.of('acme', '2026-01-31').completion, 5, 'and the past stays as it was');
  assert.deepEqual(
    prices.list().map(({ tenant, fromDay }) => [tenant, fromDay]),
    [
      [null, '2026-01-31'],
      [null, '2026-02-01'],
      ['acme', '2026-01-31'],
      ['acme', '2026-02-01'],
    ],
  );
  assert.deepEqual(
    prices.paidBy('acme').map(({ tenant, fromDay, prompt, completion }) => [tenant, fromDay, prompt, completion]),
    [
      ['acme', '2026-01-31', 2, 5],
      ['acme', '2026-02-01', 3, 10],
    ],
    'what everybody pays counts where a tenant has no price of its own',
  );
  for (const change of [{ prompt: -1 }, { training: NaN }, { cached: 1e9 }, { currency: 'euro' }]) {
    assert.throws(() => prices.set(null, change), { code: 'REQUEST_INVALID', param: Object.keys(change)[0] });
  }
});

test('bill lines are usage times price, told apart as asked, and add up exactly', () => {
  prices.set(null, { currency: 'EUR', prompt: 2, cached: 0.5, completion: 10, training: 4 });
  meter.add('acme', 'sha256:a', { promptTokens: 1000, cachedTokens: 400, completionTokens: 7 }, 'web');
  meter.add('acme', 'sha256:a', { promptTokens: 10, cachedTokens: 0, completionTokens: 1 });
  meter.add('globex', null, { promptTokens: 5, cachedTokens: 5, completionTokens: 0 });
  database.transaction(() => meter.addTraining('acme', 'web', 'sha256:b', 250_000));
  now += DAY_MS;
  prices.set(null, { prompt: 100 });
  meter.add('acme', 'sha256:a', { promptTokens: 10, cachedTokens: 0, completionTokens: 1 });

  const byAdapter = bill(['tenant', 'adapter']).map((line) => ({ ...line }));
  assert.deepEqual(byAdapter, [
    {
      tenant: 'acme',
      project: null,
      adapter: 'sha256:a',
      period: null,
      requests: 3,
      promptTokens: 1020,
      cachedTokens: 400,
      completionTokens: 9,
      trainingTokens: 0,
      // 600·2 + 400·0.5 + 7·10, then 10·2 + 10, then 10·100 + 10.
      costMicros: 1470 + 30 + 1010,
      currency: 'EUR',
    },
    {
      tenant: 'acme',
      project: null,
      adapter: 'sha256:b',
      period: null,
      requests: 0,
      promptTokens: 0,
      cachedTokens: 0,
      completionTokens: 0,
      trainingTokens: 250_000,
      costMicros: 1_000_000,
      currency: 'EUR',
    },
    {
      tenant: 'globex',
      project: null,
      adapter: 'base',
      period: null,
      requests: 1,
      promptTokens: 5,
      cachedTokens: 5,
      completionTokens: 0,
      trainingTokens: 0,
      // 5·0.5, rounded once.
      costMicros: 3,
      currency: 'EUR',
    },
  ]);
  const total = (lines: readonly { readonly costMicros: number }[]): number =>
    lines.reduce((sum, { costMicros }) => sum + costMicros, 0);
  for (const groups of [
    [],
    ['tenant'],
    ['project'],
    ['day'],
    ['month', 'project'],
    ['tenant', 'day', 'adapter'],
  ] as const) {
    assert.equal(total(bill(groups)), total(byAdapter), groups.join());
  }
  assert.deepEqual(
    bill(['project', 'month'], 'acme').map(({ project, period, costMicros }) => [project, period, costMicros]),
    [
      ['', '2026-01', 30],
      ['web', '2026-01', 1_001_470],
      ['', '2026-02', 1010],
    ],
  );
  assert.equal(
    billCsv(bill(['tenant'], 'acme')),
    'tenant,project,period,adapter,requests,prompt_tokens,cached_tokens,completion_tokens,training_tokens,cost,currency\r\n' +
      'acme,,,,3,1020,400,9,250000,1.002510,EUR\r\n',
  );
  assert.deepEqual([0, 1, 999_999, 12_345_678].map(costText), ['0.000000', '0.000001', '0.999999', '12.345678']);
});

test('without a price nothing is billed, and two currencies are two lines', () => {
  meter.add('acme', null, { promptTokens: 5, cachedTokens: 0, completionTokens: 1 });
  assert.deepEqual(
    bill(['tenant']).map(({ costMicros, currency }) => [costMicros, currency]),
    [[0, null]],
  );
  prices.set('acme', { currency: 'EUR', prompt: 1 });
  prices.set('globex', { currency: 'USD', prompt: 1 });
  meter.add('globex', null, { promptTokens: 7, cachedTokens: 0, completionTokens: 1 });
  assert.deepEqual(
    bill([]).map(({ costMicros, currency }) => [costMicros, currency]),
    [
      [5, 'EUR'],
      [7, 'USD'],
    ],
  );
});

test('what a tenant that is gone has used is kept as sums without its name', () => {
  meter.add('acme', 'sha256:a', { promptTokens: 5, cachedTokens: 0, completionTokens: 1 }, 'web');
  meter.add('acme', 'sha256:b', { promptTokens: 6, cachedTokens: 0, completionTokens: 1 });
  meter.flush();
  assert.equal(
    database.transaction(() => meter.forget('acme')),
    2,
  );
  new Tenants(database, clock).remove('acme');
  // An answer that ends after its tenant.
  meter.add('acme', 'sha256:a', { promptTokens: 1, cachedTokens: 0, completionTokens: 0 }, 'web');
  meter.flush();
  const rows = meter.read(null, '2026-01-01', '2026-12-31');
  assert.deepEqual(
    rows.map(({ tenant, project, adapter, requests, promptTokens }) => [
      tenant,
      project,
      adapter,
      requests,
      promptTokens,
    ]),
    [['(erased)', '', '(erased)', 3, 12]],
  );
});
