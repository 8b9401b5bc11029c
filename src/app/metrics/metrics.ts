import { Counter, Histogram, Registry } from 'prom-client';
import type { LoadObservation, TokenObserver } from '../../serving/index.ts';
import type { Usage } from '../../tenancy/index.ts';
import { engineSeries, type BaseStats } from './engine-series.ts';
import { OTHER, TopLabels } from './top-labels.ts';

/** Tenants and adapters that have series of their own. */
const MAX_LABELS = 32;

const LATENCY_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5];
const LOAD_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const KINDS = ['prompt', 'cached', 'completion'] as const;

/** Told of what one engine does. */
export interface EngineObserver extends TokenObserver {
  onLoad(load: LoadObservation): void;
  onCrash(): void;
}

/**
 * What the server tells of its serving: latencies as their readers see them, tokens by tenant and by adapter (the heaviest
 * {@link MAX_LABELS}, and `other`), loads, and the engine's own state at the moment of asking.
 */
export class ServingMetrics {
  readonly #registry = new Registry();
  readonly #queueWait = this.#histogram(
    'espalier_queue_wait_seconds',
    'Time that a sequence waited in the engine for its first step; the wait for its adapter comes before',
    LATENCY_SECONDS,
    ['base'],
  );
  readonly #firstToken = this.#histogram(
    'espalier_time_to_first_token_seconds',
    'Time from the submission of a sequence to its first token, by whether an adapter answers',
    LATENCY_SECONDS,
    ['base', 'adapter'],
  );
  readonly #nextToken = this.#histogram(
    'espalier_time_per_output_token_seconds',
    'Time between two tokens of a sequence',
    TOKEN_SECONDS,
    ['base'],
  );
  readonly #loads = this.#histogram(
    'espalier_adapter_load_seconds',
    'Time to load an adapter, from the host tier or from disk',
    LOAD_SECONDS,
    ['base', 'from'],
  );
  readonly #loadFailures = new Counter({
    name: 'espalier_adapter_load_failures_total',
    help: 'Loads that failed',
    labelNames: ['base'],
    registers: [this.#registry],
  });
  readonly #crashes = new Counter({
    name: 'espalier_engine_crashes_total',
    help: 'Times that the engine ended by itself',
    labelNames: ['base'],
    registers: [this.#registry],
  });
  readonly #byTenant = new TokenCounters(this.#registry, 'tenant');
  readonly #byAdapter = new TokenCounters(this.#registry, 'adapter');

  /** What is told of one base's engine. */
  ofBase(base: string): EngineObserver {
    // So that a rate can be computed from the first crash on.
    this.#crashes.inc({ base }, 0);
    return {
      onQueueWait: (seconds) => this.#queueWait.observe({ base }, seconds),
      onFirstToken: (seconds, hasAdapter) =>
        this.#firstToken.observe({ base, adapter: hasAdapter ? 'yes' : 'no' }, seconds),
      onNextToken: (seconds) => this.#nextToken.observe({ base }, seconds),
      onLoad: ({ from, seconds, isLoaded }) => {
        if (isLoaded) this.#loads.observe({ base, from }, seconds);
        else this.#loadFailures.inc({ base });
      },
      onCrash: () => this.#crashes.inc({ base }),
    };
  }

  /**
   * A request has ended, in whatever way.
   * @param tenant null is the operator
   * @param adapter its digest; null is the base
   */
  onUsage(tenant: string | null, adapter: string | null, usage: Usage): void {
    this.#byTenant.add(tenant ?? 'operator', usage);
    this.#byAdapter.add(adapter ?? 'base', usage);
  }

  /** Prometheus' text. @param engines those that are up: the series of others are missing */
  async text(engines: readonly BaseStats[]): Promise<string> {
    return (await this.#registry.metrics()) + engineSeries(engines);
  }

  #histogram<Label extends string>(name: string, help: string, buckets: number[], labelNames: Label[]) {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.#registry] });
  }
}

/** Requests and tokens by one label. */
class TokenCounters {
  readonly #label: string;
  readonly #requests: Counter;
  readonly #tokens: Counter;
  readonly #labels: TopLabels;

  constructor(registry: Registry, label: 'tenant' | 'adapter') {
    this.#label = label;
    const help = `by ${label}: the heaviest ${MAX_LABELS}, and "${OTHER}"`;
    const registers = [registry];
    this.#requests = new Counter({
      name: `espalier_${label}_requests_total`,
      help: `Requests that ended, ${help}`,
      labelNames: [label],
      registers,
    });
    this.#tokens = new Counter({
      name: `espalier_${label}_tokens_total`,
      help: `Tokens of prompts, those of them that were cached, and of answers, ${help}`,
      labelNames: [label, 'kind'],
      registers,
    });
    this.#labels = new TopLabels(MAX_LABELS, (key) => {
      this.#requests.remove({ [label]: key });
      for (const kind of KINDS) this.#tokens.remove({ [label]: key, kind });
    });
  }

  add(key: string, { promptTokens, cachedTokens, completionTokens }: Usage): void {
    const label = this.#labels.observe(key, promptTokens + completionTokens);
    this.#requests.inc({ [this.#label]: label });
    const counts = { prompt: promptTokens, cached: cachedTokens, completion: completionTokens };
    for (const kind of KINDS) this.#tokens.inc({ [this.#label]: label, kind }, counts[kind]);
  }
}
