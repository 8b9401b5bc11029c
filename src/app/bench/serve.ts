import type { CompiledAdapter } from '../../adapters/index.ts';
import { Rng, systemClock } from '../../base/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY } from '../../serving/index.ts';
import { BenchAdapters, chooseAdapters, type BenchAdapterOptions, type Popularity } from './adapters.ts';
import { median, quantile } from './statistics.ts';
import type { ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { openModel } from '../models.ts';

export interface BenchServeOptions extends BenchAdapterOptions {
  readonly base: string;
  readonly format?: WeightFormat | undefined;
  readonly popularities: readonly Popularity[];
  /** Adapters that there are to choose from. */
  readonly adapters: number;
  /** Requests, all at once. */
  readonly requests: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repetitions: number;
}

/** Times are in milliseconds over all requests of all repetitions, the rate is the median over repetitions. */
export interface ServeCase {
  readonly case: string;
  readonly popularity: Popularity;
  readonly numAdapters: number;
  readonly outputTokensPerSecond: number;
  readonly firstTokenMs: { readonly p50: number; readonly p99: number };
  readonly perTokenMs: { readonly p50: number; readonly p99: number };
  /** The part of the base's rate that adapters cost; null without a case `none`. */
  readonly adapterTax: number | null;
  readonly repetitions: number;
  readonly threads: number | null;
  readonly instructionSet: string;
  readonly format: string;
  readonly peakMemoryBytes: number;
}

interface Samples {
  readonly rates: number[];
  readonly firstMs: number[];
  readonly perTokenMs: number[];
}

/**
 * Requests for a mix of adapters, all at once, on an engine of this thread: greedy, nobody stops early. The cases alternate, so that
 * what else the machine does meets all of them; the first round warms up and is not counted.
 */
export async function benchServe(
  config: AppConfig,
  options: BenchServeOptions,
  onProgress?: (done: number, total: number, what: string) => void,
  onModelProgress?: ModelProgress,
): Promise<ServeCase[]> {
  const { base } = await openModel(config, { base: options.base, format: options.format }, onModelProgress);
  const needsAdapters = options.popularities.some((popularity) => popularity !== 'none');
  const numAdapters = needsAdapters ? options.adapters : 0;
  const maker = new BenchAdapters(base.sites, options);
  const adapters: CompiledAdapter[] = [];
  for (let n = 0; n < numAdapters; n++) {
    adapters.push(maker.compile(n, base));
    onProgress?.(n + 1, numAdapters, 'adapters made');
  }
  const samples = new Map(
    options.popularities.map((of): [Popularity, Samples] => [of, { rates: [], firstMs: [], perTokenMs: [] }]),
  );
  // One engine answers all rounds, as a server would: its cache of keys and values is new memory once.
  const { requests } = options;
  const engine = new Engine(base, {
    ...DEFAULT_ENGINE,
    maxSequences: requests,
    maxDraftTokens: 0,
    maxWaiting: requests,
    maxWaitingPerTenant: requests,
    cacheTokens: requests * (options.promptTokens + options.newTokens + 16),
  });
  const total = (options.repetitions + 1) * samples.size;
  let done = 0;
  for (let round = 0; round <= options.repetitions; round++) {
    for (const [popularity, into] of samples) {
      const measured = serveOnce(engine, adapters, popularity, options, round);
      if (round > 0) {
        into.rates.push(...measured.rates);
        into.firstMs.push(...measured.firstMs);
        into.perTokenMs.push(...measured.perTokenMs);
      }
      onProgress?.(++done, total, popularity);
    }
  }
  const ofBase = samples.get('none');
  return [...samples].map(([popularity, { rates, firstMs, perTokenMs }]) => ({
    case: `serve ${options.requests}x${options.promptTokens}+${options.newTokens}, ${popularity}`,
    popularity,
    numAdapters: popularity === 'none' ? 0 : popularity === 'identical' ? 1 : numAdapters,
    outputTokensPerSecond: median(rates),
    firstTokenMs: { p50: median(firstMs), p99: quantile(firstMs, 0.99) },
    perTokenMs: { p50: median(perTokenMs), p99: quantile(perTokenMs, 0.99) },
    adapterTax: ofBase ? 1 - median(rates) / median(ofBase.rates) : null,
    repetitions: rates.length,
    threads: config.threads ?? null,
    instructionSet: base.kernels.name,
    format: base.format,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  }));
}

function serveOnce(
  engine: Engine,
  adapters: readonly CompiledAdapter[],
  popularity: Popularity,
  { requests, promptTokens, newTokens }: BenchServeOptions,
  round: number,
): Samples {
  const rng = Rng.fromSeed(round, `bench serve ${popularity}`);
  const { vocabSize } = engine.base.config;
  const chosen = chooseAdapters(popularity, requests, Math.max(1, adapters.length), rng);
  const startedMs = systemClock.nowMs();
  for (const [n, adapter] of chosen.entries()) {
    engine.submit(
      {
        id: String(n),
        promptTokenIds: Int32Array.from({ length: promptTokens }, () => rng.nextBelow(vocabSize)),
        adapter: adapter === undefined ? null : String(adapter),
        maxTokens: newTokens,
        stopTokenIds: [],
        sampling: GREEDY,
      },
      adapter === undefined ? undefined : adapters[adapter],
    );
  }
  const lastMs = new Map<string, number>();
  const samples: Samples = { rates: [], firstMs: [], perTokenMs: [] };
  let numTokens = 0;
  while (engine.hasWork) {
    const { events, failures } = engine.step();
    for (const { error } of failures) throw error;
    const nowMs = systemClock.nowMs();
    for (const { id, tokenIds } of events) {
      const before = lastMs.get(id);
      if (before === undefined) samples.firstMs.push(nowMs - startedMs);
      else samples.perTokenMs.push(nowMs - before);
      lastMs.set(id, nowMs);
      numTokens += tokenIds.length;
    }
  }
  samples.rates.push(numTokens / ((systemClock.nowMs() - startedMs) / 1000));
  return samples;
}
