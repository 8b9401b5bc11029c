import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId, Rng, systemClock } from '../../base/index.ts';
import {
  DEFAULT_ENGINE,
  EngineClient,
  GREEDY,
  type AdapterSource,
  type GenerateRequest,
  type ResidencyOptions,
} from '../../serving/index.ts';
import { BenchAdapters, chooseAdapters, type BenchAdapterOptions } from './adapters.ts';
import { median, quantile } from './statistics.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';

export const LOAD_CASES = ['churn', 'cliff', 'cycles'] as const;
export type LoadCaseName = (typeof LOAD_CASES)[number];

export interface BenchLoadOptions extends BenchAdapterOptions {
  readonly base: string;
  readonly cases: readonly LoadCaseName[];
  /** Cold adapters of `churn`; all adapters of `cliff`. */
  readonly adapters: number;
  /** Requests that decode at once. */
  readonly requests: number;
  /** Loads and unloads of `cycles`. */
  readonly cycles: number;
}

/** A figure of one case, in the unit that its name says. */
export interface LoadCase {
  readonly case: LoadCaseName;
  readonly figures: Readonly<Record<string, number>>;
}

type Progress = (done: number, total: number, what: string) => void;

interface Bench {
  readonly config: AppConfig;
  readonly base: Base;
  readonly vocabSize: number;
  readonly options: BenchLoadOptions;
  readonly sources: readonly AdapterSource[];
  readonly onProgress: Progress | undefined;
}

const PROMPT_TOKENS = 16;
/** Rounds of `churn` and of `cliff`: with and without alternate. */
const ROUNDS = 4;

/**
 * What it costs when adapters come and go, on a whole engine with its threads. `churn`: cold adapters are loaded while others decode; `cliff`: a
 * zipf mix whose adapters take four times the memory there is; `cycles`: loading and unloading again and again.
 */
export async function benchLoad(
  config: AppConfig,
  options: BenchLoadOptions,
  onProgress?: Progress,
  onModelProgress?: ModelProgress,
): Promise<LoadCase[]> {
  const base = await resolveBase(config, options.base, onModelProgress);
  const { sites, config: model } = describeBase(base);
  const folder = mkdtempSync(join(tmpdir(), 'espalier-bench-'));
  try {
    const maker = new BenchAdapters(sites, options);
    const sources: AdapterSource[] = [];
    for (let n = 0; n < options.adapters; n++) {
      sources.push(maker.write(folder, n, base.digest));
      onProgress?.(n + 1, options.adapters, 'adapters written');
    }
    const bench: Bench = { config, base, vocabSize: model.vocabSize, options, sources, onProgress };
    const run = { churn: benchChurn, cliff: benchCliff, cycles: benchCycles };
    const results: LoadCase[] = [];
    for (const name of options.cases) results.push({ case: name, figures: await run[name](bench) });
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * `requests` sequences decode without end on warm adapters; beside them, one after the other, probes ask for one token, from a warm
 * adapter in one round and from a cold one in the next.
 */
async function benchChurn({ sources, options, ...bench }: Bench): Promise<Record<string, number>> {
  const numWarm = Math.min(4, Math.floor(sources.length / 2));
  const warm = sources.slice(0, numWarm);
  const cold = sources.slice(numWarm);
  const gaps = { warm: [] as number[], cold: [] as number[] };
  const first = { warm: [] as number[], cold: [] as number[] };
  await using client = await startEngine({ sources, options, ...bench }, Infinity);
  for (const source of warm) await client.pin(source);
  const numProbes = Math.floor(cold.length / ROUNDS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of ['warm', 'cold'] as const) {
      const stop = new AbortController();
      const decoders = Array.from({ length: options.requests }, (_, n) =>
        decodeUntil(client, bench.vocabSize, warm[n % numWarm], stop.signal, gaps[kind]),
      );
      for (let n = 0; n < numProbes; n++) {
        const source = kind === 'warm' ? warm[n % numWarm] : cold[round * numProbes + n];
        first[kind].push(await firstTokenMs(client, bench.vocabSize, source));
        bench.onProgress?.(round * numProbes + n + 1, ROUNDS * numProbes, `${kind} adapters asked while others decode`);
      }
      stop.abort();
      await Promise.all(decoders);
    }
  }
  const { diskLoads } = (await client.stats()).residency;
  const [before, during] = [quantile(gaps.warm, 0.99), quantile(gaps.cold, 0.99)];
  return {
    coldLoads: diskLoads - numWarm,
    othersPerTokenMsP50: median(gaps.warm),
    othersPerTokenMsP50DuringLoads: median(gaps.cold),
    othersPerTokenMsP99: before,
    othersPerTokenMsP99DuringLoads: during,
    othersP99Rise: during / before - 1,
    warmFirstTokenMsP50: median(first.warm),
    warmFirstTokenMsP99: quantile(first.warm, 0.99),
    coldFirstTokenMsP50: median(first.cold),
    coldFirstTokenMsP99: quantile(first.cold, 0.99),
    coldLaterMsP50: median(first.cold) - median(first.warm),
    coldLaterMsP99: quantile(first.cold, 0.99) - quantile(first.warm, 0.99),
  };
}

/** Zipf over all adapters, as many requests at once as there are places; memory for all of them, or for a quarter. */
async function benchCliff(bench: Bench): Promise<Record<string, number>> {
  const { sources, options, vocabSize, onProgress } = bench;
  const total = sources.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
  const rates = { resident: [] as number[], quarter: [] as number[] };
  const hitRates = { resident: 0, quarter: 0 };
  const clients = {
    resident: await startEngine(bench, Infinity),
    quarter: await startEngine(bench, total / 4),
  };
  await using stack = new AsyncDisposableStack();
  stack.use(clients.resident);
  stack.use(clients.quarter);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const kind of ['resident', 'quarter'] as const) {
      const client = clients[kind];
      const chosen = chooseAdapters('zipf', 4 * options.requests, sources.length, Rng.fromSeed(round, 'cliff'));
      const before = (await client.stats()).residency;
      const startedMs = systemClock.nowMs();
      const numTokens = await answerAll(
        client,
        vocabSize,
        chosen.map((n) => sources[n ?? 0]),
        options.requests,
      );
      const seconds = (systemClock.nowMs() - startedMs) / 1000;
      const after = (await client.stats()).residency;
      // The first round fills the memory.
      if (round > 0) {
        rates[kind].push(numTokens / seconds);
        const hits = after.hits - before.hits;
        hitRates[kind] += hits / (hits + after.misses - before.misses) / ROUNDS;
      }
      onProgress?.(2 * round + (kind === 'quarter' ? 2 : 1), 2 * (ROUNDS + 1), `zipf, ${kind}`);
    }
  }
  return {
    residentTokensPerSecond: median(rates.resident),
    quarterTokensPerSecond: median(rates.quarter),
    quarterOfResident: median(rates.quarter) / median(rates.resident),
    residentHitRate: hitRates.resident,
    quarterHitRate: hitRates.quarter,
  };
}

/** Loads and unloads; memory after a tenth of the cycles and at the end. */
async function benchCycles(bench: Bench): Promise<Record<string, number>> {
  const { sources, options, onProgress } = bench;
  await using client = await startEngine(bench, Infinity);
  const settleAt = Math.max(1, Math.floor(options.cycles / 10));
  const loadMs: number[] = [];
  let [rssBefore, freed] = [0, 0];
  for (let n = 0; n < options.cycles; n++) {
    const source = sources[n % sources.length];
    const startedMs = systemClock.nowMs();
    await client.pin(source);
    loadMs.push(systemClock.nowMs() - startedMs);
    freed += (await client.unload(source.digest, source.tenant)).freedBytes;
    if (n + 1 === settleAt) rssBefore = process.memoryUsage.rss();
    if ((n + 1) % 100 === 0) onProgress?.(n + 1, options.cycles, 'loads and unloads');
  }
  const { ready, host } = (await client.stats()).residency;
  return {
    cycles: options.cycles,
    loadMsP50: median(loadMs),
    loadMsP99: quantile(loadMs, 0.99),
    freedBytes: freed,
    residentBytesAfter: ready.sizeBytes + host.sizeBytes,
    rssBytesAfterATenth: rssBefore,
    rssBytesAtTheEnd: process.memoryUsage.rss(),
  };
}

function startEngine({ config, base, options }: Bench, readyBytes: number): Promise<EngineClient> {
  const places = options.requests + 1;
  const residency: ResidencyOptions = {
    readyBytes: Math.min(readyBytes, Number.MAX_SAFE_INTEGER),
    hostBytes: Number.MAX_SAFE_INTEGER,
  };
  return EngineClient.start({
    base: base.open,
    threads: config.threads,
    engine: {
      ...DEFAULT_ENGINE,
      maxSequences: places,
      maxDraftTokens: 0,
      maxWaiting: 8 * places,
      maxWaitingPerTenant: 8 * places,
      cacheTokens: places * (2 * PROMPT_TOKENS + LONG_ANSWER),
    },
    residency,
    vocabulary: null,
  });
}

const LONG_ANSWER = 256;
const SHORT_ANSWER = 64;

function requestOf(vocabSize: number, adapter: AdapterSource, maxTokens: number): GenerateRequest {
  const id = newId('bench-');
  const rng = Rng.fromSeed(0, id);
  const promptTokenIds = Int32Array.from({ length: PROMPT_TOKENS }, () => rng.nextBelow(vocabSize));
  return { id, promptTokenIds, adapter: adapter.digest, maxTokens, stopTokenIds: [], sampling: GREEDY };
}

/** One answer after the other until the signal. The gaps between tokens go into `gaps`. */
async function decodeUntil(
  client: EngineClient,
  vocabSize: number,
  adapter: AdapterSource,
  signal: AbortSignal,
  gaps: number[],
): Promise<void> {
  while (!signal.aborted) {
    let lastMs: number | undefined;
    for await (const _ of client.submit(requestOf(vocabSize, adapter, LONG_ANSWER), adapter)) {
      if (signal.aborted) return;
      const nowMs = systemClock.nowMs();
      if (lastMs !== undefined) gaps.push(nowMs - lastMs);
      lastMs = nowMs;
    }
  }
}

async function firstTokenMs(client: EngineClient, vocabSize: number, adapter: AdapterSource): Promise<number> {
  const startedMs = systemClock.nowMs();
  for await (const _ of client.submit(requestOf(vocabSize, adapter, 1), adapter)) break;
  return systemClock.nowMs() - startedMs;
}

/** Answers one request per adapter given, `atOnce` at a time. @returns tokens */
async function answerAll(
  client: EngineClient,
  vocabSize: number,
  adapters: readonly AdapterSource[],
  atOnce: number,
): Promise<number> {
  const rest = [...adapters];
  let numTokens = 0;
  const work = async (): Promise<void> => {
    for (let adapter = rest.shift(); adapter; adapter = rest.shift()) {
      const events = client.submit(requestOf(vocabSize, adapter, SHORT_ANSWER), adapter);
      for await (const { tokenIds } of events) numTokens += tokenIds.length;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return numTokens;
}
