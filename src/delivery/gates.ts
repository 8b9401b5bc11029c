import { fail, type Clock, type Digest } from '../base/index.ts';
import type { BlobStore, Database, PlainFile } from '../storage/index.ts';

/** What a version must score before an alias that answers may point at it. */
export interface Gate {
  /** The score's name, as the evaluation knows it. */
  readonly metric: string;
  /** The held-out examples: a copy that nobody can change or delete under the gate. */
  readonly data: Digest;
  /** The file's name when it was given, for people. */
  readonly dataName: string;
  /** The score is at least this; of a loss, at most. Null: no such bound. */
  readonly threshold: number | null;
  /** The score may be so much worse than that of the version that answers now. Null: it is not compared. */
  readonly tolerance: number | null;
  /** Tokens of an answer, at most. */
  readonly maxTokens: number;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
}

export interface GateScore {
  readonly value: number;
  readonly examples: number;
}

export interface GateVerdict {
  readonly isPassed: boolean;
  /** The score, what it is compared with, and on which data. */
  readonly message: string;
}

/** The one metric of which less is better. */
const LOSS = 'loss';
/** Of the difference of two scores: 0.95 is no worse than 0.96 by 0.01. */
const ROUNDING = 1e-9;

/**
 * Holds a version's score against the gate's bounds.
 * @param current of the version that answers now; null: nothing does, so there is nothing to be worse than
 */
export function gateVerdict(
  { metric, dataName, threshold, tolerance }: Pick<Gate, 'metric' | 'dataName' | 'threshold' | 'tolerance'>,
  candidate: GateScore,
  current: GateScore | null,
): GateVerdict {
  const sign = metric === LOSS ? -1 : 1;
  const best = metric === LOSS ? 'at most' : 'at least';
  const isAbove = threshold === null || sign * (candidate.value - threshold) >= -ROUNDING;
  const isNoWorse =
    tolerance === null || current === null || sign * (candidate.value - current.value) >= -tolerance - ROUNDING;
  const parts = [
    `${metric} ${figure(candidate.value)} on ${dataName} (${candidate.examples} examples)`,
    threshold === null ? [] : [`${best} ${threshold} is asked${isAbove ? '' : ', which it is not'}`],
    tolerance === null || current === null
      ? []
      : [
          `the version that answers has ${figure(current.value)} and may be missed by ${tolerance}${isNoWorse ? '' : ', which is not kept'}`,
        ],
  ].flat();
  return { isPassed: isAbove && isNoWorse && Number.isFinite(candidate.value), message: parts.join('; ') };
}

function figure(value: number): string {
  return value.toFixed(4);
}

interface GateRow {
  readonly metric: string;
  readonly data: Digest;
  readonly data_name: string;
  readonly threshold: number | null;
  readonly tolerance: number | null;
  readonly max_tokens: number;
  readonly changed_at: number;
}

/** Gates of tasks, their data, and the scores that were measured on it. */
export class Gates {
  readonly #database: Database;
  readonly #blobs: BlobStore;
  readonly #clock: Clock;

  constructor(database: Database, blobs: BlobStore, clock: Clock) {
    this.#database = database;
    this.#blobs = blobs;
    this.#clock = clock;
  }

  find(tenant: string, task: string): Gate | undefined {
    const row = this.#database.get<GateRow>('SELECT * FROM gates WHERE tenant = ? AND task = ?', tenant, task);
    return (
      row && {
        metric: row.metric,
        data: row.data,
        dataName: row.data_name,
        threshold: row.threshold,
        tolerance: row.tolerance,
        maxTokens: row.max_tokens,
        changedAt: row.changed_at,
      }
    );
  }

  /** The gate's data, for reading. */
  data({ data }: Pick<Gate, 'data'>): Promise<PlainFile> {
    return this.#blobs.plain(data);
  }

  /** Encrypts what is not, or not with the vault's key. @returns how many files */
  async seal(): Promise<number> {
    let numSealed = 0;
    for (const digest of await this.#blobs.list()) if (await this.#blobs.seal(digest)) numSealed++;
    return numSealed;
  }

  /**
   * Copies the data in, and sets the gate.
   * @param path of the data
   * @throws FILE_NOT_FOUND; STORAGE_BUSY another process swept the copy in that moment
   */
  async set(tenant: string, task: string, path: string, gate: Omit<Gate, 'data' | 'changedAt'>): Promise<void> {
    const { digest } = await this.#blobs.putFile(path);
    const before = this.#database.transaction(() => this.#insert(tenant, task, { ...gate, data: digest }));
    if (before) this.release(before.data);
  }

  /** @returns what was there before */
  #insert(tenant: string, task: string, gate: Omit<Gate, 'changedAt'>): Gate | undefined {
    if (!this.#blobs.has(gate.data)) fail('STORAGE_BUSY', `the copy of ${gate.dataName} was swept: set the gate again`);
    const before = this.find(tenant, task);
    this.#database.run(
      `INSERT INTO gates (tenant, task, metric, data, data_name, threshold, tolerance, max_tokens, changed_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (tenant, task) DO UPDATE SET metric = excluded.metric, data = excluded.data, data_name = excluded.data_name,
         threshold = excluded.threshold, tolerance = excluded.tolerance, max_tokens = excluded.max_tokens,
         changed_at = excluded.changed_at`,
      tenant,
      task,
      gate.metric,
      gate.data,
      gate.dataName,
      gate.threshold,
      gate.tolerance,
      gate.maxTokens,
      Math.floor(this.#clock.epochMs()),
    );
    return before;
  }

  /** @returns false: there was none */
  remove(tenant: string, task: string): boolean {
    const before = this.find(tenant, task);
    this.#database.run('DELETE FROM gates WHERE tenant = ? AND task = ?', tenant, task);
    if (before) this.release(before.data);
    return before !== undefined;
  }

  /** A score that was measured before: the same adapter on the same data has the same. */
  score(tenant: string, adapter: Digest, { data, metric, maxTokens }: Gate): GateScore | undefined {
    return this.#database.get<GateScore>(
      `SELECT value, examples FROM gate_scores WHERE tenant = ? AND adapter = ? AND data = ? AND metric = ? AND max_tokens = ?`,
      tenant,
      adapter,
      data,
      metric,
      maxTokens,
    );
  }

  addScore(tenant: string, adapter: Digest, { data, metric, maxTokens }: Gate, { value, examples }: GateScore): void {
    this.#database.run(
      `INSERT INTO gate_scores (tenant, adapter, data, metric, max_tokens, value, examples, measured_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      tenant,
      adapter,
      data,
      metric,
      maxTokens,
      value,
      examples,
      Math.floor(this.#clock.epochMs()),
    );
  }

  /** Removes data that no gate names any more. */
  release(data: Digest): void {
    this.#database.transaction(() => {
      if (!this.#database.get('SELECT 1 FROM gates WHERE data = ? LIMIT 1', data)) this.#blobs.remove(data);
    });
  }
}
