import { assert } from '../../base/index.ts';
import type { EntryTraits, EvictionPolicy } from './eviction-policy.ts';

interface Entry {
  readonly sizeBytes: number;
  /** Uses since it came or was last passed over, at most {@link MAX_USES}. */
  numUses: number;
  isHeld: boolean;
  isInMain: boolean;
}

const MAX_USES = 3;
/** The small queue's part of all bytes. */
const SMALL_PART = 0.1;

/**
 * S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): new keys enter a small queue, from which those
 * that were used again move to the main queue and the others leave, remembered as ghosts; a ghost that comes back enters the main
 * queue. The main queue passes over what was used since its last turn. What is held counts as used and keeps its place. Amortised
 * constant time: a key is passed over once for each of its uses.
 */
export class S3FifoPolicy implements EvictionPolicy {
  readonly #entries = new Map<string, Entry>();
  /** Maps as queues: the first key is the oldest. */
  readonly #small = new Map<string, Entry>();
  readonly #main = new Map<string, Entry>();
  readonly #ghosts = new Map<string, true>();
  #smallBytes = 0;
  #bytes = 0;
  /** Of the main queue, and of both. */
  #numIdleInMain = 0;
  #numIdle = 0;

  admit(key: string, { sizeBytes }: EntryTraits): void {
    const isInMain = this.#ghosts.delete(key);
    const entry = { sizeBytes, numUses: 0, isHeld: false, isInMain };
    this.#entries.set(key, entry);
    (isInMain ? this.#main : this.#small).set(key, entry);
    if (!isInMain) this.#smallBytes += sizeBytes;
    this.#bytes += sizeBytes;
    this.#countIdle(entry, 1);
  }

  hold(key: string): void {
    const entry = this.#find(key);
    assert(!entry.isHeld, `${key} was idle`);
    entry.isHeld = true;
    this.#countIdle(entry, -1);
    this.touch(key);
  }

  release(key: string): void {
    const entry = this.#find(key);
    assert(entry.isHeld, `${key} was held`);
    entry.isHeld = false;
    this.#countIdle(entry, 1);
  }

  touch(key: string): void {
    const entry = this.#find(key);
    entry.numUses = Math.min(MAX_USES, entry.numUses + 1);
  }

  remove(key: string): void {
    const entry = this.#find(key);
    this.#entries.delete(key);
    this.#main.delete(key);
    if (this.#small.delete(key)) this.#smallBytes -= entry.sizeBytes;
    this.#bytes -= entry.sizeBytes;
    if (!entry.isHeld) this.#countIdle(entry, -1);
  }

  victim(): string | undefined {
    if (this.#numIdle === 0) return undefined;
    for (;;) {
      const isSmallsTurn = this.#smallBytes > SMALL_PART * this.#bytes || this.#numIdleInMain === 0;
      const key = isSmallsTurn && this.#small.size > 0 ? this.#leaveSmall() : this.#leaveMain();
      if (key !== undefined) return key;
    }
  }

  /** The oldest of the small queue goes, or moves on when it was used more than once. */
  #leaveSmall(): string | undefined {
    const [key, entry] = first(this.#small);
    if (!entry.isHeld && entry.numUses <= 1) {
      this.remove(key);
      this.#remember(key);
      return key;
    }
    this.#small.delete(key);
    this.#smallBytes -= entry.sizeBytes;
    entry.isInMain = true;
    if (!entry.isHeld) this.#numIdleInMain++;
    entry.numUses = 0;
    this.#main.set(key, entry);
    return undefined;
  }

  #leaveMain(): string | undefined {
    const [key, entry] = first(this.#main);
    if (!entry.isHeld && entry.numUses === 0) {
      this.remove(key);
      return key;
    }
    if (entry.numUses > 0) entry.numUses--;
    this.#main.delete(key);
    this.#main.set(key, entry);
    return undefined;
  }

  /** As many ghosts as there are keys in the main queue. */
  #remember(key: string): void {
    this.#ghosts.set(key, true);
    while (this.#ghosts.size > Math.max(1, this.#main.size)) this.#ghosts.delete(first(this.#ghosts)[0]);
  }

  #countIdle({ isInMain }: Entry, change: 1 | -1): void {
    this.#numIdle += change;
    if (isInMain) this.#numIdleInMain += change;
  }

  #find(key: string): Entry {
    const entry = this.#entries.get(key);
    assert(entry, `${key} was admitted`);
    return entry;
  }
}

function first<Value>(queue: ReadonlyMap<string, Value>): [string, Value] {
  for (const entry of queue) return entry;
  throw new Error('the queue is empty');
}
