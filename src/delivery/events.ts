import type { Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';

export type DeliveryEventKind =
  | 'gate-set'
  | 'gate-removed'
  | 'promoted'
  | 'promoted-without-gate'
  | 'promotion-refused'
  | 'canary-started'
  | 'canary-grown'
  | 'canary-passed'
  | 'canary-promoted'
  | 'canary-rolled-back'
  | 'canary-stopped'
  | 'shadow-started'
  | 'shadow-stopped';

/** Something that was done about who answers a task, by somebody or by a rule. */
export interface DeliveryEvent {
  /** Rises by the order of the events; of all tasks together. */
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: DeliveryEventKind;
  readonly version: number | null;
  /** Id of the key that asked for it, or `cli` at the command line; null: a rule did it. */
  readonly actor: string | null;
  readonly message: string;
}

export interface NewDeliveryEvent extends Omit<DeliveryEvent, 'seq' | 'at'> {
  readonly tenant: string;
  readonly task: string;
}

/** Writes events down. */
export class DeliveryEvents {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #onEvent: ((event: NewDeliveryEvent) => void) | undefined;

  /** @param onEvent called in the transaction of the event: what it throws undoes what the event tells of */
  constructor(database: Database, clock: Clock, onEvent?: (event: NewDeliveryEvent) => void) {
    this.#database = database;
    this.#clock = clock;
    this.#onEvent = onEvent;
  }

  /** Adds an event; inside a transaction it is a part of it. */
  add(event: NewDeliveryEvent): void {
    this.#database.transaction(() => {
      insertEvent(this.#database, this.#clock, event);
      this.#onEvent?.(event);
    });
  }

  /** The latest first. */
  list(tenant: string, task: string, limit: number): DeliveryEvent[] {
    return this.#database.all<DeliveryEvent>(
      `SELECT seq, at, kind, version, actor, message FROM delivery_events
       WHERE tenant = ? AND task = ? ORDER BY seq DESC LIMIT ?`,
      tenant,
      task,
      limit,
    );
  }
}

function insertEvent(database: Database, clock: Clock, event: NewDeliveryEvent): void {
  const { tenant, task, kind, version, actor, message } = event;
  database.run(
    'INSERT INTO delivery_events (tenant, task, at, kind, version, actor, message) VALUES (?, ?, ?, ?, ?, ?, ?)',
    tenant,
    task,
    Math.floor(clock.epochMs()),
    kind,
    version,
    actor,
    message,
  );
}
