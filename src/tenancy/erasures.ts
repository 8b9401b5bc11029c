import { newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';

/** An erasure of a tenant that has begun. */
export interface Erasure {
  /** `erasure_…`. */
  readonly id: string;
  /** Null: everything of the tenant is gone; what is left is to compact the database. */
  readonly tenant: string | null;
  /** Who has ordered it. */
  readonly actor: string;
}

interface ErasureRow extends Erasure {
  readonly report: string;
}

/**
 * Erasures from their order to their end. One that was interrupted is found here by the next process, with what it had planned; the tenant's
 * name goes with the last of its things.
 */
export class Erasures {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** Orders an erasure and takes the tenant's keys away (its note is how many: `{ keys }`), or gives the one that has begun. */
  begin(tenant: string, actor: string): Erasure {
    return this.#database.transaction(() => {
      const known = this.#database.get<Erasure>('SELECT id, tenant, actor FROM erasures WHERE tenant = ?', tenant);
      if (known) return known;
      const erasure = { id: newId('erasure_'), tenant, actor };
      const keys = this.#database.run('DELETE FROM api_keys WHERE tenant = ?', tenant);
      this.#database.run(
        'INSERT INTO erasures (id, tenant, actor, begun_at, report) VALUES (?, ?, ?, ?, ?)',
        erasure.id,
        tenant,
        actor,
        Math.floor(this.#clock.epochMs()),
        JSON.stringify({ keys }),
      );
      return erasure;
    });
  }

  /** Those that have begun and not ended, the oldest first. */
  unfinished(): Erasure[] {
    return this.#database.all<Erasure>(
      'SELECT id, tenant, actor FROM erasures WHERE finished_at IS NULL ORDER BY begun_at, id',
    );
  }

  isErasing(tenant: string): boolean {
    return this.#database.get('SELECT 1 FROM erasures WHERE tenant = ?', tenant) !== undefined;
  }

  /** Keeps what the erasure has to do, or has done, as JSON. Inside a transaction with what it tells of. */
  note(id: string, report: unknown): void {
    this.#database.run('UPDATE erasures SET report = ? WHERE id = ?', JSON.stringify(report), id);
  }

  /** What was noted last. */
  noted(id: string): unknown {
    const row = this.#database.get<ErasureRow>('SELECT * FROM erasures WHERE id = ?', id);
    return row && JSON.parse(row.report);
  }

  /** Forgets the name, inside the transaction that deletes its last rows. */
  forgetName(id: string): void {
    this.#database.run('UPDATE erasures SET tenant = NULL WHERE id = ?', id);
  }

  finish(id: string): void {
    this.#database.run('UPDATE erasures SET finished_at = ? WHERE id = ?', Math.floor(this.#clock.epochMs()), id);
  }
}
