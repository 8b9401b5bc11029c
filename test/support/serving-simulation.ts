import { EspalierError, Rng } from '../../src/base/index.ts';
import { KvBlocks } from '../../src/serving/cache/kv-blocks.ts';
import { KvCache } from '../../src/serving/cache/kv-cache.ts';
import { Scheduler } from '../../src/serving/scheduling/scheduler.ts';
import type { SchedulerLimits } from '../../src/serving/scheduling/step-plan.ts';
import type { Sequence } from '../../src/serving/sequence.ts';
import { makeSequence, nothingConfig } from './sequences.ts';

/** What one tenant sends. */
export interface Load {
  readonly tenant: string;
  readonly weight?: number;
  readonly requestsPerSecond: number;
  /** Shortest and longest. */
  readonly promptTokens: readonly [number, number];
  readonly answerTokens: readonly [number, number];
}

/** What it got. */
export interface Service {
  /** Prompt and generated tokens that were computed for it; what a preempted sequence lost does not count again. */
  tokens: number;
  /** What was computed for it again. */
  recomputedTokens: number;
  numSent: number;
  numRefused: number;
  /** Let in, and given up later. */
  numGivenUp: number;
  numFinished: number;
  /** From arrival to the first row, or until it was given up, of each request that was let in, in milliseconds. */
  readonly waitsMs: number[];
  /** From arrival to the first token. */
  readonly firstTokensMs: number[];
  readonly retryAfterMs: number[];
}

export interface SimulationOptions {
  readonly limits: SchedulerLimits;
  readonly cacheTokens: number;
  readonly seconds: number;
  readonly seed: number;
  /** What a step of so many rows takes. */
  readonly stepMs: (numRows: number) => number;
}

/** An engine that answers about {@link CAPACITY} requests of {@link tenTenants} a second, over all tenants. */
export const SIMULATED: SimulationOptions = {
  limits: { maxStepTokens: 256, maxSequences: 16, maxWaiting: 400, maxWaitingPerTenant: 100, maxWaitMs: 2000 },
  cacheTokens: 16 * 256,
  seconds: 50,
  seed: 1,
  stepMs: (numRows) => 2 + 0.2 * numRows,
};
const CAPACITY = 40;

/** Ten tenants, one of which sends `flood` times what each of the others does. At a load of 1 and no flood they use the engine up. */
export function tenTenants(flood: number, load: number): Load[] {
  return Array.from({ length: 10 }, (_, n): Load => ({
    tenant: n === 0 ? 'flood' : `tenant ${n}`,
    requestsPerSecond: ((n === 0 ? flood : 1) * load * CAPACITY) / 10,
    promptTokens: [20, 100],
    answerTokens: [10, 60],
  }));
}

export function withoutFlood(services: ReadonlyMap<string, Service>): Service[] {
  return [...services].filter(([tenant]) => tenant !== 'flood').map(([, service]) => service);
}

export function longest(times: Iterable<number>): number {
  let most = 0;
  for (const time of times) most = Math.max(most, time);
  return most;
}

/** The real scheduler and cache against arrivals at random times and a clock that a step moves on: no arithmetic, no real time. */
export function simulate(loads: readonly Load[], options: SimulationOptions): Map<string, Service> {
  const cache = new KvCache(new KvBlocks(nothingConfig, options.cacheTokens));
  const scheduler = new Scheduler(options.limits, cache);
  const arrivals = loads.map((load) => arrivalsOf(load, options));
  const services = new Map(loads.map(({ tenant }) => [tenant, emptyService()]));
  /** When those came that have not begun, and those that have not got a token. */
  const waiting = new Map<Sequence, number>();
  const tokenless = new Map<Sequence, number>();
  const mostComputed = new Map<Sequence, number>();
  const of = (sequence: Sequence): Service => services.get(sequence.tenant ?? '') ?? emptyService();
  const nextArrivalMs = (): number => Math.min(...arrivals.map((list) => list.at(-1)?.atMs ?? Infinity));
  let nowMs = 0;
  while (nowMs < options.seconds * 1000) {
    for (const [index, { tenant, weight }] of loads.entries()) {
      for (let next = arrivals[index].at(-1); next && next.atMs <= nowMs; next = arrivals[index].at(-1)) {
        arrivals[index].pop();
        const { numPrompt, maxTokens } = next;
        const sequence = makeSequence(tenant, { tenant, weight, numPrompt, maxTokens });
        const service = of(sequence);
        service.numSent++;
        try {
          scheduler.add(sequence, nowMs);
          waiting.set(sequence, nowMs);
          tokenless.set(sequence, nowMs);
        } catch (error) {
          if (!(error instanceof EspalierError) || error.code !== 'OVERLOADED') throw error;
          service.numRefused++;
          service.retryAfterMs.push(error.retryAfterMs ?? NaN);
        }
      }
    }
    const { plan, givenUp } = scheduler.schedule(nowMs);
    for (const { sequence, error } of givenUp) {
      const service = of(sequence);
      service.numGivenUp++;
      service.waitsMs.push(nowMs - (waiting.get(sequence) ?? NaN));
      service.retryAfterMs.push(error.retryAfterMs ?? NaN);
      waiting.delete(sequence);
    }
    if (plan.length === 0) {
      nowMs = nextArrivalMs();
      continue;
    }
    for (const { sequence } of plan) {
      const sinceMs = waiting.get(sequence);
      if (sinceMs !== undefined) of(sequence).waitsMs.push(nowMs - sinceMs);
      waiting.delete(sequence);
    }
    nowMs += options.stepMs(plan.reduce((sum, { numNew }) => sum + numNew, 0));
    scheduler.commit(plan);
    for (const { sequence, numNew } of plan) {
      const service = of(sequence);
      const most = mostComputed.get(sequence) ?? 0;
      const numFresh = Math.max(0, Math.min(numNew, sequence.numComputed - most));
      service.tokens += numFresh;
      service.recomputedTokens += numNew - numFresh;
      mostComputed.set(sequence, Math.max(most, sequence.numComputed));
      if (sequence.numComputed < sequence.numTokens) continue;
      const sinceMs = tokenless.get(sequence);
      if (sinceMs !== undefined) service.firstTokensMs.push(nowMs - sinceMs);
      tokenless.delete(sequence);
      sequence.tokenIds.push(-1);
      if (sequence.numTokens < sequence.maxTokens) continue;
      service.numFinished++;
      scheduler.remove(sequence);
    }
  }
  for (const [sequence, sinceMs] of waiting) of(sequence).waitsMs.push(nowMs - sinceMs);
  return services;
}

interface Arrival {
  readonly atMs: number;
  readonly numPrompt: number;
  readonly maxTokens: number;
}

/** A Poisson stream of a tenant, the last first. It depends on nothing but the tenant's own load. */
function arrivalsOf(load: Load, { seconds, seed }: SimulationOptions): Arrival[] {
  const rng = Rng.fromSeed(seed, load.tenant);
  const between = ([low, high]: readonly [number, number]): number => low + rng.nextBelow(high - low + 1);
  const arrivals: Arrival[] = [];
  for (let atMs = 0; atMs < seconds * 1000;) {
    atMs += (-Math.log(1 - rng.nextFloat()) * 1000) / load.requestsPerSecond;
    arrivals.push({ atMs, numPrompt: between(load.promptTokens), maxTokens: between(load.answerTokens) });
  }
  return arrivals.reverse();
}

function emptyService(): Service {
  return {
    tokens: 0,
    recomputedTokens: 0,
    numSent: 0,
    numRefused: 0,
    numGivenUp: 0,
    numFinished: 0,
    waitsMs: [],
    firstTokensMs: [],
    retryAfterMs: [],
  };
}
