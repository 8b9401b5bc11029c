import { fail } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { NO_COUNTS, type ArmCounts, type Canary, type CanaryArm } from './canary.ts';

/** How a request ended, whose fault it was not the client's. */
export interface Outcome {
  readonly isError: boolean;
  /** Of an answer, from its begin to its end. */
  readonly seconds: number;
}

export interface Answered extends Outcome {
  readonly canary: Canary;
  readonly arm: CanaryArm;
  readonly requestId: string;
}

/** Of a logarithm. */
const LEAST_SECONDS = 1e-4;

/** What both sides of each canary have answered, as sums, and the answers that can still be scored. Every change is part of the caller's transaction. */
export class CanaryCounts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Both sides at zero. */
  begin(id: string): void {
    for (const arm of ['canary', 'stable']) {
      this.#database.run('INSERT INTO canary_counts (canary, arm) VALUES (?, ?)', id, arm);
    }
  }

  /** Forgets the answers, not the sums, of canaries that ended before then. */
  dropAnswersBefore(epochMs: number): void {
    this.#database.run(
      `DELETE FROM canary_answers WHERE canary IN (SELECT id FROM canaries WHERE ended_at < ?)`,
      epochMs,
    );
  }

  add({ canary, arm, requestId, isError, seconds }: Answered, nowMs: number): void {
    const logSeconds = isError ? 0 : Math.log(Math.max(LEAST_SECONDS, seconds));
    this.#database.run(
      `UPDATE canary_counts SET requests = requests + 1, errors = errors + ?, timed = timed + ?,
         log_seconds = log_seconds + ?, log_seconds_squared = log_seconds_squared + ? WHERE canary = ? AND arm = ?`,
      isError ? 1 : 0,
      isError ? 0 : 1,
      logSeconds,
      logSeconds * logSeconds,
      canary.id,
      arm,
    );
    // A client may give one id to several requests: a score is of the latest.
    this.#database.run(
      `INSERT INTO canary_answers (tenant, request, canary, arm, answered_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (tenant, request) DO UPDATE SET canary = excluded.canary, arm = excluded.arm,
         answered_at = excluded.answered_at, score = NULL`,
      canary.tenant,
      requestId,
      canary.id,
      arm,
      nowMs,
    );
  }

  /**
   * A score of an answer; a second one takes the place of the first.
   * @returns the canary's id
   * @throws ANSWER_NOT_FOUND
   */
  score(tenant: string, requestId: string, score: number): string {
    const row = this.#database.get<{ canary: string; arm: CanaryArm; score: number | null }>(
      'SELECT canary, arm, score FROM canary_answers WHERE tenant = ? AND request = ?',
      tenant,
      requestId,
    );
    if (!row) {
      const rule = 'only answers of a task with a canary are scored, by the X-Request-Id of the answer';
      return fail('ANSWER_NOT_FOUND', `no answer ${JSON.stringify(requestId)}: ${rule}`, { param: 'request_id' });
    }
    const before = row.score ?? 0;
    this.#database.run(
      'UPDATE canary_answers SET score = ? WHERE tenant = ? AND request = ?',
      score,
      tenant,
      requestId,
    );
    this.#database.run(
      `UPDATE canary_counts SET scored = scored + ?, scores = scores + ?, scores_squared = scores_squared + ?
       WHERE canary = ? AND arm = ?`,
      row.score === null ? 1 : 0,
      score - before,
      score * score - before * before,
      row.canary,
      row.arm,
    );
    return row.canary;
  }

  /** The sums of one side. */
  of(id: string, arm: CanaryArm): ArmCounts {
    const row = this.#database.get<Record<string, number>>(
      'SELECT * FROM canary_counts WHERE canary = ? AND arm = ?',
      id,
      arm,
    );
    if (!row) return NO_COUNTS;
    return {
      requests: row['requests'],
      errors: row['errors'],
      logSeconds: { count: row['timed'], sum: row['log_seconds'], sumOfSquares: row['log_seconds_squared'] },
      scores: { count: row['scored'], sum: row['scores'], sumOfSquares: row['scores_squared'] },
    };
  }
}
