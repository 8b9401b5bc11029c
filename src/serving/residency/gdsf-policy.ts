import { assert } from '../../base/index.ts';
import type { EntryTraits, EvictionPolicy } from './eviction-policy.ts';

interface Entry {
  readonly key: string;
  /** cost / size: what a byte of it saves. */
  readonly worth: number;
  numUses: number;
  priority: number;
  /** Place in the heap; -1 while it is held. */
  place: number;
}

/**
 * More uses count as so many. Without a bound, what was popular for a day outlasts, when it is no more, everything that came since; the
 * comparison in docs/measurements.md has both.
 */
const MAX_USES = 16;

/**
 * Greedy-Dual-Size-Frequency (Cherkasova, "Improving WWW proxies performance with Greedy-Dual-Size-Frequency caching policy", HP Labs
 * 1998): the victim is the idle key of the least priority = clock + uses · cost / size, and the clock becomes the victim's
 * priority, so that what was popular once ages against what is popular now. Idle keys are in a binary heap: a hold, a release and
 * a victim take logarithmic time in the number of idle keys.
 */
export class GdsfPolicy implements EvictionPolicy {
  readonly #entries = new Map<string, Entry>();
  readonly #heap: Entry[] = [];
  #clock = 0;

  admit(key: string, { sizeBytes, cost }: EntryTraits): void {
    const entry: Entry = { key, worth: cost / Math.max(1, sizeBytes), numUses: 0, priority: 0, place: -1 };
    this.#entries.set(key, entry);
    this.#insert(entry);
  }

  hold(key: string): void {
    const entry = this.#find(key);
    entry.numUses++;
    this.#takeOut(entry);
  }

  release(key: string): void {
    this.#insert(this.#find(key));
  }

  touch(key: string): void {
    const entry = this.#find(key);
    entry.numUses++;
    if (entry.place < 0) return;
    this.#takeOut(entry);
    this.#insert(entry);
  }

  remove(key: string): void {
    this.#takeOut(this.#find(key));
    this.#entries.delete(key);
  }

  victim(): string | undefined {
    if (this.#heap.length === 0) return undefined;
    const [entry] = this.#heap;
    this.#clock = entry.priority;
    this.remove(entry.key);
    return entry.key;
  }

  #find(key: string): Entry {
    const entry = this.#entries.get(key);
    assert(entry, `${key} was admitted`);
    return entry;
  }

  #insert(entry: Entry): void {
    assert(entry.place < 0, `${entry.key} was held`);
    entry.priority = this.#clock + Math.min(entry.numUses, MAX_USES) * entry.worth;
    this.#heap.push(entry);
    this.#up(entry, this.#heap.length - 1);
  }

  #takeOut(entry: Entry): void {
    if (entry.place < 0) return;
    const { place } = entry;
    entry.place = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#down(last, place);
    this.#up(last, last.place);
  }

  #up(entry: Entry, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = this.#heap[(place - 1) >> 1];
      if (parent.priority <= entry.priority) break;
      this.#put(parent, place);
      place = (place - 1) >> 1;
    }
    this.#put(entry, place);
  }

  #down(entry: Entry, from: number): void {
    let place = from;
    for (let child = 2 * place + 1; child < this.#heap.length; child = 2 * place + 1) {
      if (child + 1 < this.#heap.length && this.#heap[child + 1].priority < this.#heap[child].priority) child++;
      if (this.#heap[child].priority >= entry.priority) break;
      this.#put(this.#heap[child], place);
      place = child;
    }
    this.#put(entry, place);
  }

  #put(entry: Entry, place: number): void {
    this.#heap[place] = entry;
    entry.place = place;
  }
}
