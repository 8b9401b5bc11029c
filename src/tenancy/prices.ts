import { fail, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';

/** What a million tokens of a kind cost, in units of the currency. Null: as everybody's; of everybody's: nothing. */
export interface TokenPrices {
  /** ISO 4217, `EUR`. */
  readonly currency: string | null;
  /** Of the prompt, but for what was in the cache. */
  readonly prompt: number | null;
  readonly cached: number | null;
  readonly completion: number | null;
  /** Of data, once for each epoch. */
  readonly training: number | null;
}

export interface PriceRow extends TokenPrices {
  /** Null: everybody's. */
  readonly tenant: string | null;
  /** The first day, UTC, on which it holds. */
  readonly fromDay: string;
}

export const PRICE_NAMES = ['prompt', 'cached', 'completion', 'training'] as const;

const EVERYBODY = '';
const NO_PRICES: TokenPrices = { currency: null, prompt: null, cached: null, completion: null, training: null };
/** Sums of tokens times prices stay exact to a millionth below this. */
const MAX_PRICE = 1_000_000;

/** Prices by tenant and day: a change holds from its day on, and what was used before keeps its price. */
export class Prices {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /**
   * Changes what is given, from today on.
   * @param tenant null: everybody's
   * @throws REQUEST_INVALID
   */
  set(tenant: string | null, change: Partial<TokenPrices>): PriceRow {
    for (const name of PRICE_NAMES) {
      const price = change[name] ?? 0;
      if (!(price >= 0 && price <= MAX_PRICE)) {
        fail('REQUEST_INVALID', `${name} must be a price from 0 to ${MAX_PRICE} for a million tokens, got ${price}`, {
          param: name,
        });
      }
    }
    const { currency } = change;
    if (typeof currency === 'string' && !/^[A-Z]{3}$/.test(currency)) {
      fail('REQUEST_INVALID', `currency must have three capital letters, as EUR, got "${currency}"`, {
        param: 'currency',
      });
    }
    const today = new Date(this.#clock.epochMs()).toISOString().slice(0, 10);
    return this.#database.transaction(() => {
      const prices = { ...this.#own(tenant ?? EVERYBODY, today), ...change };
      this.#database.run(
        `INSERT INTO prices (tenant, from_day, currency, prompt, cached, completion, training) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (tenant, from_day) DO UPDATE SET currency = excluded.currency, prompt = excluded.prompt,
           cached = excluded.cached, completion = excluded.completion, training = excluded.training`,
        tenant ?? EVERYBODY,
        today,
        prices.currency,
        prices.prompt,
        prices.cached,
        prices.completion,
        prices.training,
      );
      return { ...prices, tenant, fromDay: today };
    });
  }

  /** What a tenant pays on a day: its own prices, and everybody's where it has none. */
  of(tenant: string, day: string): TokenPrices {
    const [own, all] = [this.#own(tenant, day), this.#own(EVERYBODY, day)];
    return {
      currency: own.currency ?? all.currency,
      prompt: own.prompt ?? all.prompt,
      cached: own.cached ?? all.cached,
      completion: own.completion ?? all.completion,
      training: own.training ?? all.training,
    };
  }

  /** What a tenant pays, by the days on which its own prices or everybody's changed. */
  paidBy(tenant: string): PriceRow[] {
    const days = this.#database.all<{ readonly from_day: string }>(
      'SELECT DISTINCT from_day FROM prices WHERE tenant IN (?, ?) ORDER BY from_day',
      tenant,
      EVERYBODY,
    );
    return days.map(({ from_day: fromDay }) => ({ ...this.of(tenant, fromDay), tenant, fromDay }));
  }

  /** All that were ever set, everybody's first, each tenant's in the order of the days. */
  list(): PriceRow[] {
    return this.#database
      .all<TokenPrices & { readonly tenant: string; readonly from_day: string }>(
        'SELECT * FROM prices ORDER BY tenant, from_day',
      )
      .map(({ tenant, from_day: fromDay, ...prices }) => ({
        ...prices,
        tenant: tenant === EVERYBODY ? null : tenant,
        fromDay,
      }));
  }

  #own(tenant: string, day: string): TokenPrices {
    const row = this.#database.get<TokenPrices>(
      `SELECT currency, prompt, cached, completion, training FROM prices
       WHERE tenant = ? AND from_day <= ? ORDER BY from_day DESC LIMIT 1`,
      tenant,
      day,
    );
    return row ?? NO_PRICES;
  }
}
