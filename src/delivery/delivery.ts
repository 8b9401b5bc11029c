import { join } from 'node:path';
import type { Clock, Digest } from '../base/index.ts';
import { BlobStore, type Database, type Vault } from '../storage/index.ts';
import { Canaries } from './canaries.ts';
import { DeliveryEvents, type DeliveryEvent, type NewDeliveryEvent } from './events.ts';
import { Gates } from './gates.ts';
import { Shadows } from './shadows.ts';

/** Gates, canaries and shadows of all tasks, and what was done about them. */
export class Delivery {
  readonly gates: Gates;
  readonly canaries: Canaries;
  readonly shadows: Shadows;
  readonly #database: Database;
  readonly #blobs: BlobStore;
  readonly #events: DeliveryEvents;

  private constructor(database: Database, blobs: BlobStore, clock: Clock, events: DeliveryEvents) {
    this.#database = database;
    this.#blobs = blobs;
    this.#events = events;
    this.gates = new Gates(database, blobs, clock);
    this.canaries = new Canaries(database, clock, events);
    this.shadows = new Shadows(database, clock, events);
  }

  /**
   * @param home its sub-folder `gates` belongs to this room
   * @param options a vault encrypts the data; `onEvent`: see {@link DeliveryEvents}
   */
  static async open(
    database: Database,
    home: string,
    clock: Clock,
    {
      vault,
      onEvent,
    }: {
      readonly vault?: Vault | undefined;
      readonly onEvent?: (event: NewDeliveryEvent) => void;
    } = {},
  ): Promise<Delivery> {
    const blobs = await BlobStore.open(join(home, 'gates'), clock, vault);
    return new Delivery(database, blobs, clock, new DeliveryEvents(database, clock, onEvent));
  }

  /** Makes a change and writes its event down: both, or neither. */
  during<T>(event: NewDeliveryEvent, change: () => T): T {
    return this.#database.transaction(() => {
      this.record(event);
      return change();
    });
  }

  record(event: NewDeliveryEvent): void {
    this.#events.add(event);
  }

  /** The latest first. */
  events(tenant: string, task: string, limit: number): DeliveryEvent[] {
    return this.#events.list(tenant, task, limit);
  }

  /** What needs a version: it must not be removed meanwhile. */
  userOf({
    tenant,
    task,
    version,
  }: {
    readonly tenant: string;
    readonly task: string;
    readonly version: number;
  }): string | undefined {
    if (this.canaries.open(tenant, task)?.version === version) return 'canary';
    if (this.shadows.open(tenant, task)?.version === version) return 'shadow';
    return undefined;
  }

  /** Removes data that no gate names: what was interrupted left it. @returns how many files */
  async sweep(): Promise<number> {
    const named = new Set(
      this.#database.all<{ data: Digest }>('SELECT DISTINCT data FROM gates').map(({ data }) => data),
    );
    const unnamed = (await this.#blobs.list()).filter((digest) => !named.has(digest));
    for (const digest of unnamed) this.gates.release(digest);
    return unnamed.length;
  }
}
