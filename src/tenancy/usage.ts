import type { Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';

/** What one request consumed. */
export interface Usage {
  readonly promptTokens: number;
  /** Of the prompt's tokens, those whose keys and values were in the cache already. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

export interface UsageRow extends Usage {
  readonly tenant: string;
  /** UTC, `2026-01-31`. */
  readonly day: string;
  /** The adapter's digest, or `base`. */
  readonly adapter: string;
  readonly requests: number;
}

interface Counters {
  requests: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

/** Counts per tenant, day and adapter. They gather in memory, and {@link flush} adds them to the table in one transaction. */
export class UsageMeter implements Disposable {
  readonly #database: Database;
  readonly #clock: Clock;
  #pending = new Map<string, Counters>();

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** @param adapter its digest; null is the base */
  add(tenant: string, adapter: string | null, usage: Usage): void {
    const day = new Date(this.#clock.epochMs()).toISOString().slice(0, 10);
    const key = JSON.stringify([tenant, day, adapter ?? 'base']);
    const counters = this.#pending.get(key) ?? { requests: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
    counters.requests++;
    counters.promptTokens += usage.promptTokens;
    counters.cachedTokens += usage.cachedTokens;
    counters.completionTokens += usage.completionTokens;
    this.#pending.set(key, counters);
  }

  /** Adds what has gathered to the table. When that fails, it stays gathered. */
  flush(): void {
    if (this.#pending.size === 0) return;
    this.#database.transaction(() => {
      for (const [key, counters] of this.#pending) {
        const [tenant, day, adapter] = JSON.parse(key) as [string, string, string];
        this.#database.run(
          `INSERT INTO usage (tenant, day, adapter, requests, prompt_tokens, cached_tokens, completion_tokens)
           VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (tenant, day, adapter) DO UPDATE SET
             requests = requests + excluded.requests,
             prompt_tokens = prompt_tokens + excluded.prompt_tokens,
             cached_tokens = cached_tokens + excluded.cached_tokens,
             completion_tokens = completion_tokens + excluded.completion_tokens`,
          tenant,
          day,
          adapter,
          counters.requests,
          counters.promptTokens,
          counters.cachedTokens,
          counters.completionTokens,
        );
      }
    });
    this.#pending = new Map();
  }

  /** What has been flushed, from one day to another, both included. */
  read(tenant: string, fromDay: string, toDay: string): UsageRow[] {
    return this.#database.all<UsageRow>(
      `SELECT tenant, day, adapter, requests, prompt_tokens AS promptTokens, cached_tokens AS cachedTokens,
         completion_tokens AS completionTokens
       FROM usage WHERE tenant = ? AND day BETWEEN ? AND ? ORDER BY day, adapter`,
      tenant,
      fromDay,
      toDay,
    );
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}
