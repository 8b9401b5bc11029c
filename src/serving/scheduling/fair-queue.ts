import { assert, type EspalierError } from '../../base/index.ts';
import { Line } from './line.ts';
import { overloaded, type QueueLimits } from './queue-limits.ts';
import { Pace, type PaceSpan } from './rate-meter.ts';
import type { Sequence } from '../sequence.ts';
import { goesBefore, isActive, type Tenant } from './tenant.ts';

/** A request that is not going to begin, and why. */
export interface GivenUp {
  readonly sequence: Sequence;
  readonly error: EspalierError;
}

/**
 * Who begins next: a Virtual Token Counter for each tenant (Sheng et al., 2024). The tenant that was served least, by its weight, goes
 * first. A tenant that becomes active starts from the least served active one: being idle saves nothing up. Inside a tenant
 * priority decides, then arrival. Pure: time comes in, nothing is read.
 */
export class FairQueue {
  readonly #limits: QueueLimits;
  readonly #tenants = new Map<string | null, Tenant>();
  #numWaiting = 0;
  readonly #pace = new Pace(0);
  /** Where a tenant starts when nobody is active. */
  #floor = 0;
  /** Number and weight of the active tenants; undefined when they have to be counted again. */
  #active: { readonly count: number; readonly weight: number } | undefined;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get numWaiting(): number {
    return this.#numWaiting;
  }

  /** Tenants that are remembered: active ones, and those with a debt. */
  get numTenants(): number {
    return this.#tenants.size;
  }

  /** @throws OVERLOADED with the time after which it is worth trying again; nothing is changed then */
  add(sequence: Sequence, nowMs: number): void {
    this.#admit(sequence, nowMs);
    const tenant = this.#activate(sequence.tenant);
    tenant.weight = sequence.request.weight ?? 1;
    if (tenant.waiting.length === 0) tenant.pace.resume(nowMs);
    if (this.#numWaiting === 0) this.#pace.resume(nowMs);
    this.#insert(tenant, sequence, nowMs);
    this.#active = undefined;
  }

  /** A sequence that was preempted waits again, before all of its tenant that have not begun. */
  putBack(sequence: Sequence, nowMs: number): void {
    const tenant = this.tenantOf(sequence);
    tenant.numRunning--;
    this.#insert(tenant, sequence, nowMs);
  }

  /** Who goes first, for one step: a sequence stays in the queue until {@link begin}. */
  line(nowMs: number): Line {
    const tenants = [...this.#tenants.values()].filter(({ waiting }) => waiting.length > 0);
    const overdue = tenants.flatMap((tenant) =>
      tenant.waiting.filter((sequence) => this.isOverdue(sequence, nowMs)).map((sequence) => ({ sequence, tenant })),
    );
    return new Line({ tenants, overdue, isOwed: (tenant) => this.#isOwed(tenant) });
  }

  /** The one that has waited longest, if that is longer than anybody should, of the tenants that may have one more place. */
  overdue(nowMs: number): Sequence | undefined {
    let longest: Sequence | undefined;
    for (const tenant of this.#tenants.values()) {
      if (!this.#isOwed(tenant)) continue;
      for (const sequence of tenant.waiting) {
        if (!this.isOverdue(sequence, nowMs)) continue;
        if (!longest || sequence.waitingSinceMs < longest.waitingSinceMs) longest = sequence;
      }
    }
    return longest;
  }

  isOverdue(sequence: Sequence, nowMs: number): boolean {
    return nowMs - sequence.waitingSinceMs >= this.#limits.maxWaitMs;
  }

  /** Takes a sequence from the queue to run. */
  begin(sequence: Sequence, nowMs: number): void {
    const tenant = this.tenantOf(sequence);
    this.#take(tenant, sequence);
    tenant.numRunning++;
    if (sequence.hasBegun) return;
    tenant.pace.tick(nowMs);
    this.#pace.tick(nowMs);
  }

  /** A running sequence has ended. */
  end(sequence: Sequence): void {
    const tenant = this.tenantOf(sequence);
    tenant.numRunning--;
    this.#rest(tenant);
  }

  /** A waiting sequence is not wanted any more. */
  remove(sequence: Sequence): void {
    const tenant = this.tenantOf(sequence);
    this.#take(tenant, sequence);
    this.#rest(tenant);
  }

  /** Counts what a tenant was served. */
  charge(sequence: Sequence, cost: number): void {
    const tenant = this.tenantOf(sequence);
    tenant.counter += cost / tenant.weight;
  }

  /**
   * Takes out the requests that have waited too long and that nobody owes a place: their tenant has its part of the places, or there are
   * more tenants than places. A tenant that is alone waits for itself only, and for as long as it takes.
   */
  giveUpOverdue(nowMs: number): GivenUp[] {
    const givenUp: GivenUp[] = [];
    for (const tenant of this.#tenants.values()) {
      for (const sequence of tenant.waiting) {
        const error = sequence.hasBegun ? undefined : this.#reasonToGiveUp(tenant, sequence, nowMs);
        if (error) givenUp.push({ sequence, error });
      }
    }
    for (const { sequence } of givenUp) this.remove(sequence);
    return givenUp;
  }

  tenantOf(sequence: Sequence): Tenant {
    const tenant = this.#tenants.get(sequence.tenant);
    assert(tenant, 'a sequence that waits or runs has an active tenant');
    return tenant;
  }

  /** A tenant's part of the places, by weight, among those that are active; one at least. */
  shareOf(tenant: Tenant): number {
    return Math.max(1, this.#limits.maxSequences * this.#partOf(tenant));
  }

  *waiting(): Iterable<Sequence> {
    for (const tenant of this.#tenants.values()) yield* tenant.waiting;
  }

  /** Tenants with something that runs. */
  *running(): Iterable<Tenant> {
    for (const tenant of this.#tenants.values()) if (tenant.numRunning > 0) yield tenant;
  }

  #admit(sequence: Sequence, nowMs: number): void {
    const { maxWaiting, maxWaitingPerTenant, maxWaitMs } = this.#limits;
    const tenant = this.#tenants.get(sequence.tenant);
    const numOwn = tenant?.waiting.length ?? 0;
    const numActive = this.#countActive().count + (tenant && isActive(tenant) ? 0 : 1);
    const isFull = this.#numWaiting >= maxWaiting && numOwn >= Math.max(1, Math.floor(maxWaiting / numActive));
    const wait = (span: PaceSpan): number => {
      // The first request of a tenant is owed a place, unless there are not enough for all.
      if (tenant && numOwn > 0) return this.#expectedWaitMs(tenant, nowMs, span);
      return numActive > this.#limits.maxSequences ? this.#turnMs(nowMs, span) : 0;
    };
    // A tenant that is alone waits for itself only.
    const waitMs = numOwn > 0 && numActive === 1 ? 0 : wait('now');
    if (numOwn < maxWaitingPerTenant && !isFull && waitMs <= maxWaitMs) return;
    const why =
      numOwn >= maxWaitingPerTenant
        ? `${numOwn} requests of this tenant are waiting already`
        : isFull
          ? `${this.#numWaiting} requests are waiting already`
          : `a request of this tenant would wait ${Math.round(waitMs / 1000)} s, longer than the ${maxWaitMs / 1000} s that any should`;
    throw overloaded(why, wait('minute'), this.#limits);
  }

  #reasonToGiveUp(tenant: Tenant, sequence: Sequence, nowMs: number): EspalierError | undefined {
    if (!this.isOverdue(sequence, nowMs)) return undefined;
    const { count } = this.#countActive();
    const isCrowded = count > this.#limits.maxSequences;
    if (count === 1 || (this.#isOwed(tenant) && !isCrowded)) return undefined;
    return isCrowded
      ? overloaded('more tenants wait than can be served at once', this.#turnMs(nowMs, 'minute'), this.#limits)
      : overloaded(
          'the others of this tenant took all of its service',
          this.#expectedWaitMs(tenant, nowMs, 'minute'),
          this.#limits,
        );
  }

  /** Whether one more place would be within the tenant's part. */
  #isOwed(tenant: Tenant): boolean {
    return tenant.numRunning + 1 <= this.shareOf(tenant);
  }

  /** How long the first request of one more tenant would wait, when everybody has a turn before. */
  #turnMs(nowMs: number, span: PaceSpan): number {
    let numAhead = 0;
    for (const tenant of this.#tenants.values()) if (tenant.waiting.length > 0) numAhead++;
    // Nobody waits: what is known of the pace is of another time.
    return numAhead === 0 ? 0 : (this.#pace.gapMs(nowMs, span) ?? 0) * (numAhead + 1);
  }

  /** How long one more request of a tenant would wait, judged by how fast they have begun; 0 when nothing is known. */
  #expectedWaitMs(tenant: Tenant, nowMs: number, span: PaceSpan): number {
    const numAhead = tenant.waiting.length + 1;
    const ownGapMs = tenant.pace.gapMs(nowMs, span);
    if (ownGapMs !== undefined) return ownGapMs * numAhead;
    const gapMs = this.#pace.gapMs(nowMs, span) ?? 0;
    return gapMs * Math.min(numAhead / this.#partOf(tenant), this.#numWaiting + 1);
  }

  /** The tenant, counted from the least served active one at least. */
  #activate(id: string | null): Tenant {
    let tenant = this.#tenants.get(id);
    if (tenant && isActive(tenant)) return tenant;
    const start = this.#leastServed();
    for (const [key, other] of this.#tenants) {
      if (!isActive(other) && other.counter <= start) this.#tenants.delete(key);
    }
    tenant = this.#tenants.get(id);
    if (!tenant) {
      tenant = { id, waiting: [], weight: 1, counter: start, numRunning: 0, pace: new Pace(0) };
      this.#tenants.set(id, tenant);
    }
    return tenant;
  }

  #leastServed(): number {
    let least = Infinity;
    for (const tenant of this.#tenants.values()) if (isActive(tenant)) least = Math.min(least, tenant.counter);
    return least === Infinity ? this.#floor : least;
  }

  /** The last tenant that leaves says where the next one starts. */
  #rest(tenant: Tenant): void {
    if (isActive(tenant)) return;
    this.#floor = tenant.counter;
    this.#active = undefined;
  }

  /** A tenant's part of everything, by weight, among those that are active. */
  #partOf(tenant: Tenant): number {
    return tenant.weight / this.#countActive().weight;
  }

  #countActive(): { readonly count: number; readonly weight: number } {
    if (!this.#active) {
      let [count, weight] = [0, 0];
      for (const tenant of this.#tenants.values()) {
        if (!isActive(tenant)) continue;
        count++;
        weight += tenant.weight;
      }
      this.#active = { count, weight };
    }
    return this.#active;
  }

  #insert(tenant: Tenant, sequence: Sequence, nowMs: number): void {
    sequence.waitingSinceMs = nowMs;
    let at = tenant.waiting.length;
    while (at > 0 && goesBefore(sequence, tenant.waiting[at - 1])) at--;
    tenant.waiting.splice(at, 0, sequence);
    this.#numWaiting++;
  }

  #take(tenant: Tenant, sequence: Sequence): void {
    const at = tenant.waiting.indexOf(sequence);
    assert(at >= 0, 'the sequence is waiting');
    tenant.waiting.splice(at, 1);
    this.#numWaiting--;
  }
}
