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
  /** {@link ERASED_TENANT} for what erased tenants have used. */
  readonly tenant: string;
  /** A label inside the tenant; empty: none. */
  readonly project: string;
  /** UTC, `2026-01-31`. */
  readonly day: string;
  /** The adapter's digest, or `base`. */
  readonly adapter: string;
  readonly requests: number;
  /** Tokens that fine-tuning jobs have trained on, all epochs. */
  readonly trainingTokens: number;
}

/** In place of the names of tenants that are gone: their sums stay. No name has brackets. */
const ERASED_TENANT = '(erased)';

type Counters = { -readonly [K in 'requests' | 'trainingTokens' | keyof Usage]: number };

const COLUMNS = `tenant, project, day, adapter, requests, prompt_tokens AS promptTokens, cached_tokens AS cachedTokens,
  completion_tokens AS completionTokens, training_tokens AS trainingTokens`;

/**
 * Counts per tenant, project, day and adapter. Those of requests gather in memory, and {@link flush} adds them to the table in one
 * transaction.
 */
export class UsageMeter implements Disposable {
  readonly #database: Database;
  readonly #clock: Clock;
  #pending = new Map<string, Counters>();

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** @param adapter its digest; null is the base */
  add(tenant: string, adapter: string | null, usage: Usage, project: string | null = null): void {
    const key = JSON.stringify([tenant, project ?? '', this.#today(), adapter ?? 'base']);
    const counters = this.#pending.get(key) ?? nothing();
    counters.requests++;
    counters.promptTokens += usage.promptTokens;
    counters.cachedTokens += usage.cachedTokens;
    counters.completionTokens += usage.completionTokens;
    this.#pending.set(key, counters);
  }

  /** Counts what a job has trained on, at once: inside the transaction that ends the job. */
  addTraining(tenant: string, project: string | null, adapter: string, trainingTokens: number): void {
    this.#write([tenant, project ?? '', this.#today(), adapter], { ...nothing(), trainingTokens });
  }

  /** Adds what has gathered to the table. When that fails, it stays gathered. */
  flush(): void {
    if (this.#pending.size === 0) return;
    this.#database.transaction(() => {
      for (const [key, counters] of this.#pending) this.#write(JSON.parse(key) as UsageKey, counters);
    });
    this.#pending = new Map();
  }

  /** What has been flushed, from one day to another, both included. @param tenant null: of all */
  read(tenant: string | null, fromDay: string, toDay: string): UsageRow[] {
    const order = 'ORDER BY tenant, day, adapter, project';
    return tenant === null
      ? this.#database.all<UsageRow>(`SELECT ${COLUMNS} FROM usage WHERE day BETWEEN ? AND ? ${order}`, fromDay, toDay)
      : this.#database.all<UsageRow>(
          `SELECT ${COLUMNS} FROM usage WHERE tenant = ? AND day BETWEEN ? AND ? ${order}`,
          tenant,
          fromDay,
          toDay,
        );
  }

  /** Takes a tenant's name, projects and adapters off what it has used, inside a transaction. @returns how many rows had them */
  forget(tenant: string): number {
    const rows = this.#database.all<UsageRow>(`SELECT ${COLUMNS} FROM usage WHERE tenant = ?`, tenant);
    for (const row of rows) this.#write([ERASED_TENANT, '', row.day, ERASED_TENANT], row);
    this.#database.run('DELETE FROM usage WHERE tenant = ?', tenant);
    return rows.length;
  }

  [Symbol.dispose](): void {
    this.flush();
  }

  #today(): string {
    return new Date(this.#clock.epochMs()).toISOString().slice(0, 10);
  }

  /** An answer may end after its tenant is gone: then only the sums are kept. */
  #write(key: UsageKey, counters: Counters): void {
    const isThere = this.#database.get('SELECT 1 FROM tenants WHERE name = ?', key[0]) !== undefined;
    const [tenant, project, day, adapter] = isThere ? key : [ERASED_TENANT, '', key[2], ERASED_TENANT];
    this.#database.run(
      `INSERT INTO usage (tenant, project, day, adapter, requests, prompt_tokens, cached_tokens, completion_tokens, training_tokens)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (tenant, day, adapter, project) DO UPDATE SET
         requests = requests + excluded.requests,
         prompt_tokens = prompt_tokens + excluded.prompt_tokens,
         cached_tokens = cached_tokens + excluded.cached_tokens,
         completion_tokens = completion_tokens + excluded.completion_tokens,
         training_tokens = training_tokens + excluded.training_tokens`,
      tenant,
      project,
      day,
      adapter,
      counters.requests,
      counters.promptTokens,
      counters.cachedTokens,
      counters.completionTokens,
      counters.trainingTokens,
    );
  }
}

type UsageKey = readonly [tenant: string, project: string, day: string, adapter: string];

function nothing(): Counters {
  return { requests: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, trainingTokens: 0 };
}
