import type { EngineStats, TierStats } from '../../serving/index.ts';

type Series = readonly [
  name: string,
  type: 'gauge' | 'counter',
  help: string,
  values: number | Readonly<Record<string, number>>,
];

/** The engine's state in Prometheus' text format. Its counters begin again when the engine does. */
export function engineSeries(stats: EngineStats): string {
  const { residency } = stats;
  const tiers = (value: (tier: TierStats) => number): Record<string, number> => ({
    'tier="ready"': value(residency.ready),
    'tier="host"': value(residency.host),
  });
  const series: readonly Series[] = [
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
    ['espalier_adapters_resident', 'gauge', 'Adapters in memory', tiers(({ count }) => count)],
    ['espalier_adapters_resident_bytes', 'gauge', 'Bytes of adapters in memory', tiers(({ sizeBytes }) => sizeBytes)],
    ['espalier_adapters_held_bytes', 'gauge', 'Bytes of adapters that are in use', tiers(({ heldBytes }) => heldBytes)],
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
  return series.map(textOf).join('');
}

function textOf([name, type, help, values]: Series): string {
  const lines =
    typeof values === 'number'
      ? [`${name} ${values}`]
      : Object.entries(values).map(([labels, value]) => `${name}{${labels}} ${value}`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
}
