import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineStats } from '../../serving/index.ts';
import { ServingMetrics } from './metrics.ts';

const tier = (count: number) => ({ count, sizeBytes: count * 10, heldBytes: 5, budgetBytes: 100, numEvicted: 7 });
const STATS: EngineStats = {
  numRunning: 3,
  numWaiting: 2,
  numWaitingForAdapter: 1,
  cacheBlocks: 8,
  cacheBlocksFree: 4,
  cacheBlocksCached: 2,
  prefixHits: 30,
  prefixMisses: 31,
  prefixEvictions: 32,
  preemptions: 33,
  residency: {
    ready: tier(2),
    host: tier(6),
    loose: { count: 3, sizeBytes: 70 },
    pinnedBytes: 20,
    hits: 90,
    misses: 10,
    hostLoads: 4,
    diskLoads: 6,
    failedLoads: 1,
    numLoading: 1,
    numWaiting: 0,
    numFailed: 1,
  },
  steps: 11,
  generatedTokens: 12,
  draftTokens: 34,
  acceptedDraftTokens: 35,
  promptTokens: 13,
};

/** Every sample of Prometheus' text: `name{labels}` to value. Checks that each name is described once, before its samples. */
function samplesOf(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const described = new Set<string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, kind, name] = /^# (HELP|TYPE) (\w+) /.exec(line) ?? [];
    if (name !== undefined) {
      if (kind === 'TYPE') assert.ok(!described.has(name) && described.add(name), `${name} is described once`);
      continue;
    }
    const [, sample, value] = /^(\w+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? assert.fail(line);
    const base = sample.replace(/\{.*/, '').replace(/_(?:bucket|sum|count)$/, '');
    assert.ok(described.has(base) || described.has(sample.replace(/\{.*/, '')), `${sample} is described`);
    assert.ok(!samples.has(sample), `${sample} comes once`);
    samples.set(sample, Number(value));
  }
  return samples;
}

test('tokens are counted by tenant and by adapter, latencies and loads in histograms', async () => {
  const metrics = new ServingMetrics();
  metrics.onUsage('acme', 'sha256:a', { promptTokens: 5, cachedTokens: 2, completionTokens: 7 });
  metrics.onUsage('acme', null, { promptTokens: 1, cachedTokens: 0, completionTokens: 1 });
  metrics.onUsage(null, null, { promptTokens: 3, cachedTokens: 0, completionTokens: 0 });
  const tiny = metrics.ofBase('tiny');
  const other = metrics.ofBase('a "b"');
  other.onNextToken(1);
  tiny.onQueueWait(0.1);
  tiny.onFirstToken(0.2, true);
  tiny.onNextToken(0.03);
  tiny.onNextToken(0.04);
  tiny.onLoad({ digest: 'sha256:a', from: 'disk', seconds: 0.02, isLoaded: true });
  tiny.onLoad({ digest: 'sha256:b', from: 'host', seconds: 0.02, isLoaded: false });
  tiny.onCrash();
  const samples = samplesOf(
    await metrics.text([
      { base: 'tiny', stats: STATS },
      { base: 'a "b"', stats: { ...STATS, steps: 99 } },
    ]),
  );
  for (const [sample, value] of [
    ['espalier_tenant_requests_total{tenant="acme"}', 2],
    ['espalier_tenant_tokens_total{tenant="acme",kind="prompt"}', 6],
    ['espalier_tenant_tokens_total{tenant="acme",kind="cached"}', 2],
    ['espalier_tenant_tokens_total{tenant="acme",kind="completion"}', 8],
    ['espalier_tenant_tokens_total{tenant="operator",kind="prompt"}', 3],
    ['espalier_adapter_tokens_total{adapter="sha256:a",kind="completion"}', 7],
    ['espalier_adapter_tokens_total{adapter="base",kind="prompt"}', 4],
    ['espalier_time_to_first_token_seconds_count{base="tiny",adapter="yes"}', 1],
    ['espalier_time_per_output_token_seconds_count{base="tiny"}', 2],
    [String.raw`espalier_time_per_output_token_seconds_count{base="a \"b\""}`, 1],
    [String.raw`espalier_engine_crashes_total{base="a \"b\""}`, 0],
    [String.raw`espalier_engine_steps_total{base="a \"b\""}`, 99],
    ['espalier_engine_steps_total{base="tiny"}', 11],
    ['espalier_queue_wait_seconds_sum{base="tiny"}', 0.1],
    ['espalier_adapter_load_seconds_count{base="tiny",from="disk"}', 1],
    ['espalier_adapter_load_failures_total{base="tiny"}', 1],
    ['espalier_engine_crashes_total{base="tiny"}', 1],
    ['espalier_engine_running_sequences{base="tiny"}', 3],
    ['espalier_engine_adapter_waiting_requests{base="tiny"}', 1],
    ['espalier_engine_prefix_hits_total{base="tiny"}', 30],
    ['espalier_engine_preemptions_total{base="tiny"}', 33],
    ['espalier_engine_draft_tokens_total{base="tiny"}', 34],
    ['espalier_engine_accepted_draft_tokens_total{base="tiny"}', 35],
    ['espalier_adapters_resident{base="tiny",tier="ready"}', 2],
    ['espalier_adapters_resident_bytes{base="tiny",tier="host"}', 60],
    ['espalier_adapters_resident{base="tiny",tier="loose"}', 3],
    ['espalier_adapters_resident_bytes{base="tiny",tier="loose"}', 70],
    ['espalier_adapters_held_bytes{base="tiny",tier="loose"}', 70],
    ['espalier_adapter_hits_total{base="tiny"}', 90],
    ['espalier_adapter_misses_total{base="tiny"}', 10],
    ['espalier_adapter_loads_total{base="tiny",from="host"}', 4],
    ['espalier_adapter_evictions_total{base="tiny",tier="ready"}', 7],
  ] as const) {
    assert.equal(samples.get(sample), value, sample);
  }
  assert.equal(
    samples.get('espalier_adapter_load_seconds_count{base="tiny",from="host"}'),
    undefined,
    'failures are not timed',
  );
});

test('thousands of adapters and tenants make a bounded number of series, and no token is lost to counting', async () => {
  const metrics = new ServingMetrics();
  for (let n = 0; n < 5_000; n++) {
    metrics.onUsage(`tenant-${n}`, `sha256:${n}`, { promptTokens: 1, cachedTokens: 0, completionTokens: 1 });
  }
  const samples = samplesOf(await metrics.text([]));
  assert.ok(samples.size < 400, `${samples.size} series`);
  const sum = (name: string): number =>
    [...samples].reduce((total, [sample, value]) => total + (sample.startsWith(`${name}{`) ? value : 0), 0);
  assert.equal(sum('espalier_tenant_requests_total'), 5_000);
  assert.equal(sum('espalier_adapter_requests_total'), 5_000);
  assert.ok((samples.get('espalier_tenant_requests_total{tenant="other"}') ?? 0) > 4_000);
});

test('while the engine is down the rest is still told', async () => {
  const metrics = new ServingMetrics();
  metrics.ofBase('tiny');
  const samples = samplesOf(await metrics.text([]));
  assert.equal(samples.get('espalier_engine_crashes_total{base="tiny"}'), 0);
  assert.equal(samples.get('espalier_engine_steps_total'), undefined);
});
