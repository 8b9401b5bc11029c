import { newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { digestOfBody, GENESIS, hashOfEntry, type EntryBody, type JsonFields } from './chain.ts';
import { rangesOf } from './ranges.ts';

/** One change, as whoever makes it tells it. */
export interface AuditEntry {
  /** A key's id (`key_…`), `cli` for this machine's operator, `job:ftjob-…`, `server` for a rule of its own. */
  readonly actor: string;
  /** Whose things were changed; null: the operator's. */
  readonly tenant: string | null;
  /** `adapter.publish`, `key.create`: what was changed, and how. */
  readonly action: string;
  /** What was changed, by the name or id by which it is known. */
  readonly target: string;
  /** Names, numbers and states: no texts of requests or data, and no secrets. */
  readonly detail?: JsonFields;
}

/** An entry as it is kept. What belonged to a tenant that was erased is null. */
export interface AuditRecord {
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly actor: string | null;
  readonly tenant: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly detail: JsonFields | null;
  readonly isErased: boolean;
  /** sha256 over the hash before it and the entry, 64 hexadecimal digits. */
  readonly hash: string;
}

export interface AuditPage {
  /** Only entries about this tenant; undefined: all. */
  readonly tenant?: string | undefined;
  readonly limit: number;
  /** The last of the page before: older entries follow. */
  readonly after?: number | undefined;
}

export interface EntryRow {
  readonly seq: number;
  readonly at: number;
  readonly action: string;
  readonly actor: string | null;
  readonly tenant: string | null;
  readonly target: string | null;
  readonly detail: string | null;
  readonly salt: string | null;
  readonly body_digest: string;
  readonly hash: string;
}

/** The log of changes. An entry is written in the transaction of the change that it tells of: there is neither without the other. */
export class AuditLog {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #check: (entry: AuditEntry) => void;

  /**
   * @param check called inside the transaction of each entry: what it throws undoes the change, as of a key that has been deleted while its
   * request was on the way
   */
  constructor(database: Database, clock: Clock, check: (entry: AuditEntry) => void = () => undefined) {
    this.#database = database;
    this.#clock = clock;
    this.#check = check;
  }

  /** Adds an entry; inside a transaction it is a part of it. */
  record(entry: AuditEntry): AuditRecord {
    const { actor, tenant, action, target, detail = {} } = entry;
    return this.#database.transaction(() => {
      this.#check(entry);
      const last = this.#database.get<{ seq: number; hash: string }>(
        'SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1',
      );
      const body: EntryBody = { actor, tenant, target, detail: JSON.stringify(detail), salt: newId('') };
      const head = {
        seq: (last?.seq ?? 0) + 1,
        at: Math.floor(this.#clock.epochMs()),
        action,
        bodyDigest: digestOfBody(body),
      };
      const hash = hashOfEntry(last?.hash ?? GENESIS, head);
      this.#database.run(
        `INSERT INTO audit_log (seq, at, action, actor, tenant, target, detail, salt, body_digest, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        head.seq,
        head.at,
        action,
        actor,
        tenant,
        target,
        body.detail,
        body.salt,
        head.bodyDigest,
        hash,
      );
      return { seq: head.seq, at: head.at, actor, tenant, action, target, detail, isErased: false, hash };
    });
  }

  /** Makes a change and its entry: both, or neither. @param entryOf undefined: nothing was changed */
  during<T>(change: () => T, entryOf: (result: T) => AuditEntry | undefined): T {
    return this.#database.transaction(() => {
      const result = change();
      const entry = entryOf(result);
      if (entry) this.record(entry);
      return result;
    });
  }

  /** How many entries are about a tenant. */
  count(tenant: string): number {
    return this.#database.get<{ n: number }>('SELECT count(*) AS n FROM audit_log WHERE tenant = ?', tenant)?.n ?? 0;
  }

  /** The latest first. */
  list({ tenant, limit, after }: AuditPage): { readonly items: readonly AuditRecord[]; readonly hasMore: boolean } {
    const before = after ?? Number.MAX_SAFE_INTEGER;
    const rows =
      tenant === undefined
        ? this.#database.all<EntryRow>(
            'SELECT * FROM audit_log WHERE seq < ? ORDER BY seq DESC LIMIT ?',
            before,
            limit + 1,
          )
        : this.#database.all<EntryRow>(
            'SELECT * FROM audit_log WHERE tenant = ? AND seq < ? ORDER BY seq DESC LIMIT ?',
            tenant,
            before,
            limit + 1,
          );
    return { items: rows.slice(0, limit).map(recordOf), hasMore: rows.length > limit };
  }

  /**
   * What a tenant sees: the entries about it, numbered by themselves, because numbers of the whole log would tell how much others change. The
   * latest first.
   */
  listOwn(
    tenant: string,
    { limit, after }: Omit<AuditPage, 'tenant'>,
  ): { readonly items: readonly AuditRecord[]; readonly hasMore: boolean } {
    const count = this.count(tenant);
    const newest = Math.min(count, (after ?? Number.MAX_SAFE_INTEGER) - 1);
    const rows = this.#database.all<EntryRow>(
      'SELECT * FROM audit_log WHERE tenant = ? ORDER BY seq DESC LIMIT ? OFFSET ?',
      tenant,
      limit,
      count - newest,
    );
    const items = rows.map((row, n) => ({ ...recordOf(row), seq: newest - n }));
    return { items, hasMore: newest > items.length };
  }

  /**
   * Erases what the entries about a tenant say, in a transaction with the entry that tells of it: `entries` of its detail are their numbers, so
   * that {@link verifyChain} knows which entries may be empty.
   */
  erase(tenant: string, entryOf: (erased: { readonly count: number; readonly entries: string }) => AuditEntry): void {
    this.#database.transaction(() => {
      const seqs = this.#database
        .all<{ seq: number }>('SELECT seq FROM audit_log WHERE tenant = ? ORDER BY seq', tenant)
        .map(({ seq }) => seq);
      this.#database.run(
        'UPDATE audit_log SET actor = NULL, tenant = NULL, target = NULL, detail = NULL, salt = NULL WHERE tenant = ?',
        tenant,
      );
      this.record(entryOf({ count: seqs.length, entries: rangesOf(seqs) }));
    });
  }

  /** All entries, the oldest first, some at a time. */
  *rows(): Generator<EntryRow, void, undefined> {
    for (let after = 0; ;) {
      const page = this.#database.all<EntryRow>('SELECT * FROM audit_log WHERE seq > ? ORDER BY seq LIMIT 1000', after);
      yield* page;
      const last = page.at(-1);
      if (!last) return;
      after = last.seq;
    }
  }
}

function recordOf(row: EntryRow): AuditRecord {
  return {
    seq: row.seq,
    at: row.at,
    actor: row.actor,
    tenant: row.tenant,
    action: row.action,
    target: row.target,
    detail: row.detail === null ? null : (JSON.parse(row.detail) as JsonFields),
    isErased: row.salt === null,
    hash: row.hash,
  };
}
