import type { EngineStats, TierStats } from '../../serving/index.ts';

type Series = readonly [
  name: string,
  type: 'gauge' | 'counter',
  help: string,
  values: number | Readonly<Record<string, number>>,
];

/** The state of one base's engine. */
export interface BaseStats {
  readonly base: string;
  readonly stats: EngineStats;
}

/** The engines' state in Prometheus' text format, by base. An engine's counters begin again when it does. */
export function engineSeries(engines: readonly BaseStats[]): string {
  const all = engines.map(({ base, stats }) => ({ label: `base="${escaped(base)}"`, series: seriesOf(stats) }));
  const [first] = all;
  if (!first) return '';
  return first.series
    .map(([name, type, help], n) => {
      const lines = all.flatMap(({ label, series }) => samplesOf(name, label, series[n][3]));
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
    })
    .join('');
}

/** Beside the tiers, and in no budget. */
const LOOSE = 'tier="loose"';

function seriesOf(stats: EngineStats): readonly Series[] {
  const { residency } = stats;
  const { loose } = residency;
  const tiers = (value: (tier: TierStats) => number): Record<string, number> => ({
    'tier="ready"': value(residency.ready),
    'tier="host"': value(residency.host),
  });
  return [
    ['espalier_engine_running_sequences', 'gauge', 'Sequences that take part in steps', stats.numRunning],
    ['espalier_engine_waiting_sequences', 'gauge', 'Sequences that wait for their turn', stats.numWaiting],
    [
      'espalier_engine_adapter_waiting_requests',
      'gauge',
      'Requests that wait for their adapter',
      stats.numWaitingForAdapter,
    ],
    ['espalier_engine_cache_blocks', 'gauge', 'Blocks of the cache of keys and values', stats.cacheBlocks],
    ['espalier_engine_cache_blocks_free', 'gauge', 'Blocks that nobody reads', stats.cacheBlocksFree],
    ['espalier_engine_cache_blocks_cached', 'gauge', 'Of those, blocks with a cached prefix', stats.cacheBlocksCached],
    ['espalier_engine_prefix_hits_total', 'counter', 'Blocks of prompts that were in the cache', stats.prefixHits],
    ['espalier_engine_prefix_misses_total', 'counter', 'Blocks of prompts that were computed', stats.prefixMisses],
    ['espalier_engine_prefix_evictions_total', 'counter', 'Cached blocks given up', stats.prefixEvictions],
    ['espalier_engine_preemptions_total', 'counter', 'Sequences that were computed again', stats.preemptions],
    ['espalier_engine_steps_total', 'counter', 'Forward passes', stats.steps],
    ['espalier_engine_generated_tokens_total', 'counter', 'Tokens generated', stats.generatedTokens],
    ['espalier_engine_draft_tokens_total', 'counter', 'Tokens that were guessed', stats.draftTokens],
    ['espalier_engine_accepted_draft_tokens_total', 'counter', 'Guesses that were right', stats.acceptedDraftTokens],
    ['espalier_engine_prompt_tokens_total', 'counter', 'Tokens of admitted prompts', stats.promptTokens],
    [
      'espalier_adapters_resident',
      'gauge',
      'Adapters in memory; loose: mixes in use for which the ready tier has no room',
      { ...tiers(({ count }) => count), [LOOSE]: loose.count },
    ],
    [
      'espalier_adapters_resident_bytes',
      'gauge',
      'Bytes of adapters in memory',
      { ...tiers(({ sizeBytes }) => sizeBytes), [LOOSE]: loose.sizeBytes },
    ],
    [
      'espalier_adapters_held_bytes',
      'gauge',
      'Bytes of adapters that are in use',
      { ...tiers(({ heldBytes }) => heldBytes), [LOOSE]: loose.sizeBytes },
    ],
    [
      'espalier_adapters_budget_bytes',
      'gauge',
      'Bytes that adapters may take',
      tiers(({ budgetBytes }) => budgetBytes),
    ],
    ['espalier_adapters_pinned_bytes', 'gauge', 'Bytes of adapters that stay loaded', residency.pinnedBytes],
    ['espalier_adapters_loading', 'gauge', 'Loads that run', residency.numLoading],
    ['espalier_adapters_waiting', 'gauge', 'Adapters that wait to be loaded', residency.numWaiting],
    ['espalier_adapters_failed', 'gauge', 'Adapters that could not be loaded', residency.numFailed],
    ['espalier_adapter_hits_total', 'counter', 'Requests whose adapter was ready', residency.hits],
    ['espalier_adapter_misses_total', 'counter', 'Requests that had to wait for a load', residency.misses],
    [
      'espalier_adapter_loads_total',
      'counter',
      'Loads that succeeded',
      { 'from="host"': residency.hostLoads, 'from="disk"': residency.diskLoads },
    ],
    [
      'espalier_adapter_evictions_total',
      'counter',
      'Adapters that went to make room',
      tiers((tier) => tier.numEvicted),
    ],
  ];
}

function samplesOf(name: string, label: string, values: Series[3]): string[] {
  if (typeof values === 'number') return [`${name}{${label}} ${values}`];
  return Object.entries(values).map(([more, value]) => `${name}{${label},${more}} ${value}`);
}

/** A base can be named by its folder, which may hold anything. */
function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
