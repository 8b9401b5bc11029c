import { createHash } from 'node:crypto';
import { assert, fail, newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import {
  judgeCanary,
  type ArmCounts,
  type Canary,
  type CanaryArm,
  type CanarySettings,
  type CanaryStatus,
} from './canary.ts';
import { CanaryCounts, type Answered, type Outcome } from './canary-counts.ts';
import { canaryOf, checkSettings, type CanaryRow } from './canary-rows.ts';
import type { DeliveryEventKind, DeliveryEvents } from './events.ts';

export interface CanaryReport {
  readonly canary: Canary;
  /** Of the task's sessions, now. */
  readonly share: number;
  readonly counts: Readonly<Record<CanaryArm, ArmCounts>>;
}

/** How long answers of a canary that has ended can still be scored. */
const KEEP_ANSWERS_MS = 7 * 24 * 3600_000;

/**
 * The canaries of all tasks. What was answered gathers in memory; {@link flush} adds it to the tables, and judges, in one transaction: a
 * process that dies loses what had gathered, and counts nothing twice.
 *
 * running -> (step by step) -> promoting -> promoted, or passed where it is not to promote; running, passed -> rolled-back by the rules;
 * any of them -> stopped by somebody. Only `ended_at` says that it is over.
 */
export class Canaries {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #events: DeliveryEvents;
  readonly #counts: CanaryCounts;
  #pending: Answered[] = [];

  constructor(database: Database, clock: Clock, events: DeliveryEvents) {
    this.#database = database;
    this.#clock = clock;
    this.#events = events;
    this.#counts = new CanaryCounts(database);
  }

  /** The task's canary, if one is on. */
  open(tenant: string, task: string): Canary | undefined {
    const sql = 'SELECT * FROM canaries WHERE tenant = ? AND task = ? AND ended_at IS NULL';
    const row = this.#database.get<CanaryRow>(sql, tenant, task);
    return row && canaryOf(row);
  }

  /** The task's latest canary, also one that has ended. */
  report(tenant: string, task: string): CanaryReport | undefined {
    const sql =
      'SELECT * FROM canaries WHERE tenant = ? AND task = ? ORDER BY ended_at IS NULL DESC, started_at DESC LIMIT 1';
    const row = this.#database.get<CanaryRow>(sql, tenant, task);
    if (!row) return undefined;
    const canary = canaryOf(row);
    return {
      canary,
      share: canary.endedAt === null ? canary.settings.shares[canary.step] : 0,
      counts: { canary: this.#counts.of(canary.id, 'canary'), stable: this.#counts.of(canary.id, 'stable') },
    };
  }

  /** @param isGated false is told with the event @throws REQUEST_INVALID the settings are none, or the task has a canary already */
  start(
    tenant: string,
    task: string,
    version: number,
    settings: CanarySettings,
    actor: string,
    isGated = true,
  ): Canary {
    checkSettings(settings);
    return this.#database.transaction(() => {
      if (this.open(tenant, task)) {
        fail('REQUEST_INVALID', `${tenant}/${task} has a canary already: stop it first`, { param: 'version' });
      }
      const now = this.#now();
      this.#counts.dropAnswersBefore(now - KEEP_ANSWERS_MS);
      const id = newId('canary_');
      this.#database.run(
        `INSERT INTO canaries (id, tenant, task, version, settings, status, step, step_began_at, step_requests, started_at)
         VALUES (?, ?, ?, ?, ?, 'running', 0, ?, 0, ?)`,
        id,
        tenant,
        task,
        version,
        JSON.stringify(settings),
        now,
        now,
      );
      this.#counts.begin(id);
      const canary = this.#get(id);
      this.#tell(
        canary,
        'canary-started',
        actor,
        `${percent(settings.shares[0])} of the sessions${isGated ? '' : '; its gate was not asked'}`,
      );
      return canary;
    });
  }

  /** Which side answers a session: always the same one, and growing shares move sessions to the canary only. */
  armOf({ id, settings, step }: Canary, session: string): CanaryArm {
    const digest = createHash('sha256')
      .update(JSON.stringify(['canary', id, session]))
      .digest();
    return digest.readUIntBE(0, 6) / 2 ** 48 < settings.shares[step] ? 'canary' : 'stable';
  }

  /** Counts a request when it is over. An error is judged at once. */
  add(canary: Canary, arm: CanaryArm, requestId: string, outcome: Outcome): void {
    this.#pending.push({ canary, arm, requestId, ...outcome });
    if (outcome.isError) this.flush();
  }

  /** Adds what has gathered to the tables, and judges. When that fails, it stays gathered. */
  flush(): void {
    if (this.#pending.length === 0) return;
    this.#database.transaction(() => {
      for (const answered of this.#pending) this.#counts.add(answered, this.#now());
      for (const id of new Set(this.#pending.map(({ canary }) => canary.id))) this.#judge(id);
    });
    this.#pending = [];
  }

  /** Flushes, and judges every canary that is on: a step can end by its time alone. @returns those whose version shall be promoted now */
  tick(): readonly Canary[] {
    this.flush();
    const sql = 'SELECT * FROM canaries WHERE ended_at IS NULL';
    const open = this.#database.all<CanaryRow>(sql);
    if (open.length === 0) return [];
    this.#database.transaction(() => open.forEach(({ id }) => this.#judge(id)));
    return this.#database.all<CanaryRow>(`${sql} AND status = 'promoting'`).map(canaryOf);
  }

  /**
   * A client's score of an answer, from 0 to 1; a second one takes the place of the first.
   * @throws ANSWER_NOT_FOUND no canary was on when it was given, or it is another tenant's
   */
  score(tenant: string, requestId: string, score: number): void {
    this.flush();
    this.#database.transaction(() => this.#judge(this.#counts.score(tenant, requestId, score)));
  }

  /** Ends the task's canary, if one is on: somebody has decided. */
  stop(tenant: string, task: string, actor: string | null, reason: string): Canary | undefined {
    this.flush();
    return this.#database.transaction(() => {
      const canary = this.open(tenant, task);
      if (canary) this.#end(canary, 'stopped', 'canary-stopped', reason, actor);
      return canary;
    });
  }

  /** The alias points at the version now. */
  promoted({ id }: Canary): void {
    this.#database.transaction(() => {
      const canary = this.#get(id);
      if (canary.endedAt !== null) return;
      this.#end(canary, 'promoted', 'canary-promoted', 'every step ended well', null);
    });
  }

  /** What all steps found good may not be promoted. */
  refused({ id }: Canary, reason: string): void {
    this.#database.transaction(() => {
      const canary = this.#get(id);
      if (canary.endedAt === null) this.#end(canary, 'rolled-back', 'canary-rolled-back', reason, null);
    });
  }

  /** Inside a transaction. */
  #judge(id: string): void {
    const canary = this.#get(id);
    const { settings, step, stepRequests, stepBeganAt, status, endedAt } = canary;
    if (endedAt !== null || status === 'promoting') return;
    const counts = this.#counts.of(id, 'canary');
    const verdict = judgeCanary(settings, counts, this.#counts.of(id, 'stable'), stepRequests);
    if (verdict.kind === 'bad') {
      this.#end(canary, 'rolled-back', 'canary-rolled-back', verdict.reason, null);
      return;
    }
    const isLongEnough = this.#now() - stepBeganAt >= 1000 * settings.minSeconds;
    if (verdict.kind !== 'good' || !isLongEnough || status !== 'running') return;
    const next = settings.shares[step + 1];
    if (next !== undefined) {
      this.#database.run(
        'UPDATE canaries SET step = ?, step_began_at = ?, step_requests = ? WHERE id = ?',
        step + 1,
        this.#now(),
        counts.requests,
        id,
      );
      this.#tell(canary, 'canary-grown', null, `${percent(next)} of the sessions, after ${counts.requests} requests`);
      return;
    }
    this.#database.run('UPDATE canaries SET status = ? WHERE id = ?', settings.promote ? 'promoting' : 'passed', id);
    this.#tell(canary, 'canary-passed', null, `${counts.requests} requests, ${counts.errors} failed`);
  }

  #end(canary: Canary, status: CanaryStatus, kind: DeliveryEventKind, reason: string, actor: string | null): void {
    const sql = 'UPDATE canaries SET status = ?, reason = ?, ended_at = ? WHERE id = ?';
    this.#database.run(sql, status, reason, this.#now(), canary.id);
    this.#tell(canary, kind, actor, reason);
  }

  #tell({ tenant, task, version }: Canary, kind: DeliveryEventKind, actor: string | null, message: string): void {
    this.#events.add({ tenant, task, kind, version, actor, message });
  }

  #get(id: string): Canary {
    const row = this.#database.get<CanaryRow>('SELECT * FROM canaries WHERE id = ?', id);
    assert(row, 'a canary stays when it has ended');
    return canaryOf(row);
  }

  #now(): number {
    return Math.floor(this.#clock.epochMs());
  }
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(4))} %`;
}
