import { createHash } from 'node:crypto';
import { fail, newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import type { DeliveryEvents } from './events.ts';

/** A version that is asked beside the ones that answer; clients never see what it says. */
export interface Shadow {
  readonly id: string;
  readonly tenant: string;
  readonly task: string;
  readonly version: number;
  /** Part of the task's requests that it is asked too. */
  readonly share: number;
  /** Requests that it should have been asked, and for which there was no time. */
  readonly skipped: number;
  readonly startedAt: number;
  readonly endedAt: number | null;
}

/** One request, answered twice. No texts are kept. */
export interface ShadowComparison {
  readonly requestId: string;
  /** The shadow gave no answer: why. Then the figures of the shadow are 0. */
  readonly error: string | null;
  /** The answers are the same text. */
  readonly isEqual: boolean;
  /** F1 of the longest common subsequence of words, 0 to 1. */
  readonly similarity: number;
  readonly primary: AnswerFigures;
  readonly shadow: AnswerFigures;
}

export interface AnswerFigures {
  readonly chars: number;
  readonly tokens: number;
  /** From the begin of its computing to its end; waiting in the queue does not count. */
  readonly ms: number;
}

export interface ShadowReport {
  readonly shadow: Shadow;
  readonly compared: number;
  readonly failed: number;
  /** Shares and means over those that were compared; null: there are none. */
  readonly equalShare: number | null;
  readonly meanSimilarity: number | null;
  readonly primary: AnswerFigures | null;
  readonly shadowed: AnswerFigures | null;
  /** Ids of the requests whose answers differ most, with their similarity. */
  readonly leastSimilar: readonly { readonly requestId: string; readonly similarity: number }[];
  readonly lastError: string | null;
}

interface ShadowRow {
  readonly id: string;
  readonly tenant: string;
  readonly task: string;
  readonly version: number;
  readonly share: number;
  readonly skipped: number;
  readonly started_at: number;
  readonly ended_at: number | null;
}

const NUM_TOLD = 10;

export class Shadows {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #events: DeliveryEvents;

  constructor(database: Database, clock: Clock, events: DeliveryEvents) {
    this.#database = database;
    this.#clock = clock;
    this.#events = events;
  }

  open(tenant: string, task: string): Shadow | undefined {
    const sql = 'SELECT * FROM shadows WHERE tenant = ? AND task = ? AND ended_at IS NULL';
    const row = this.#database.get<ShadowRow>(sql, tenant, task);
    return row && shadowOf(row);
  }

  /** @throws REQUEST_INVALID the share is none, or the task has a shadow already */
  start(tenant: string, task: string, version: number, share: number, actor: string): Shadow {
    if (!(share > 0 && share <= 1)) {
      fail('REQUEST_INVALID', `a shadow’s share is above 0 and at most 1, got ${share}`, { param: 'share' });
    }
    return this.#database.transaction(() => {
      if (this.open(tenant, task)) {
        fail('REQUEST_INVALID', `${tenant}/${task} has a shadow already: stop it first`, { param: 'version' });
      }
      const id = newId('shadow_');
      const now = Math.floor(this.#clock.epochMs());
      this.#database.run(
        'INSERT INTO shadows (id, tenant, task, version, share, started_at) VALUES (?, ?, ?, ?, ?, ?)',
        id,
        tenant,
        task,
        version,
        share,
        now,
      );
      const message = `${Number((100 * share).toPrecision(4))} % of the requests`;
      this.#events.add({ tenant, task, kind: 'shadow-started', version, actor, message });
      return { id, tenant, task, version, share, skipped: 0, startedAt: now, endedAt: null };
    });
  }

  /** @returns undefined: there was none */
  stop(tenant: string, task: string, actor: string): Shadow | undefined {
    return this.#database.transaction(() => {
      const shadow = this.open(tenant, task);
      if (!shadow) return undefined;
      const now = Math.floor(this.#clock.epochMs());
      this.#database.run('UPDATE shadows SET ended_at = ? WHERE id = ?', now, shadow.id);
      const { version } = shadow;
      const message = 'it is asked no more';
      this.#events.add({ tenant, task, kind: 'shadow-stopped', version, actor, message });
      return shadow;
    });
  }

  /** Whether a request is one that the shadow is asked too. */
  isAsked({ id, share }: Shadow, requestId: string): boolean {
    const digest = createHash('sha256')
      .update(JSON.stringify(['shadow', id, requestId]))
      .digest();
    return digest.readUIntBE(0, 6) / 2 ** 48 < share;
  }

  skip({ id }: Shadow): void {
    this.#database.run('UPDATE shadows SET skipped = skipped + 1 WHERE id = ?', id);
  }

  add({ id }: Shadow, { requestId, error, isEqual, similarity, primary, shadow }: ShadowComparison): void {
    this.#database.run(
      `INSERT INTO shadow_comparisons (shadow, request, compared_at, error, is_equal, similarity, primary_chars, shadow_chars,
         primary_tokens, shadow_tokens, primary_ms, shadow_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      requestId,
      Math.floor(this.#clock.epochMs()),
      error,
      isEqual ? 1 : 0,
      similarity,
      primary.chars,
      shadow.chars,
      primary.tokens,
      shadow.tokens,
      primary.ms,
      shadow.ms,
    );
  }

  /** Of the task's latest shadow, also of one that has ended. */
  report(tenant: string, task: string): ShadowReport | undefined {
    const sql =
      'SELECT * FROM shadows WHERE tenant = ? AND task = ? ORDER BY ended_at IS NULL DESC, started_at DESC LIMIT 1';
    const row = this.#database.get<ShadowRow>(sql, tenant, task);
    if (!row) return undefined;
    const sums = this.#database.get<Record<string, number | null>>(
      `SELECT count(*) FILTER (WHERE error IS NULL) AS compared, count(error) AS failed,
         avg(is_equal) FILTER (WHERE error IS NULL) AS equal, avg(similarity) FILTER (WHERE error IS NULL) AS similarity,
         avg(primary_chars) FILTER (WHERE error IS NULL) AS pc, avg(shadow_chars) FILTER (WHERE error IS NULL) AS sc,
         avg(primary_tokens) FILTER (WHERE error IS NULL) AS pt, avg(shadow_tokens) FILTER (WHERE error IS NULL) AS st,
         avg(primary_ms) FILTER (WHERE error IS NULL) AS pm, avg(shadow_ms) FILTER (WHERE error IS NULL) AS sm
       FROM shadow_comparisons WHERE shadow = ?`,
      row.id,
    );
    const figures = (chars = 'pc', tokens = 'pt', ms = 'pm'): AnswerFigures | null =>
      sums?.['compared'] ? { chars: sums[chars] ?? 0, tokens: sums[tokens] ?? 0, ms: sums[ms] ?? 0 } : null;
    return {
      shadow: shadowOf(row),
      compared: sums?.['compared'] ?? 0,
      failed: sums?.['failed'] ?? 0,
      equalShare: sums?.['equal'] ?? null,
      meanSimilarity: sums?.['similarity'] ?? null,
      primary: figures(),
      shadowed: figures('sc', 'st', 'sm'),
      leastSimilar: this.#leastSimilar(row.id),
      lastError:
        this.#database.get<{ error: string }>(
          'SELECT error FROM shadow_comparisons WHERE shadow = ? AND error IS NOT NULL ORDER BY seq DESC LIMIT 1',
          row.id,
        )?.error ?? null,
    };
  }

  #leastSimilar(id: string): ShadowReport['leastSimilar'] {
    return this.#database
      .all<{ requestId: string; similarity: number }>(
        `SELECT request AS requestId, similarity FROM shadow_comparisons
         WHERE shadow = ? AND error IS NULL AND is_equal = 0 ORDER BY similarity, seq LIMIT ?`,
        id,
        NUM_TOLD,
      )
      .map((row) => ({ ...row }));
  }
}

function shadowOf(row: ShadowRow): Shadow {
  const { id, tenant, task, version, share, skipped } = row;
  return { id, tenant, task, version, share, skipped, startedAt: row.started_at, endedAt: row.ended_at };
}
