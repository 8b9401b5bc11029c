import { assert } from '../../base/index.ts';
import { planDrafts } from './draft-rows.ts';
import { deadlineExceeded, isLate } from './deadline.ts';
import { FairQueue, type GivenUp } from './fair-queue.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import type { Sequence } from '../sequence.ts';
import { NO_DRAFT } from '../speculation/drafts.ts';
import type { PlannedRows, Schedule, SchedulerLimits, StepPlan } from './step-plan.ts';
import { isServedLess, type Tenant } from './tenant.ts';

/** Service counts as in the Virtual Token Counter's paper: a prompt's token 1, a generated one, which costs a step, 2. */
const PROMPT_COST = 1;
const GENERATED_COST = 2;

/** The plan while it is made. */
interface Planning {
  readonly nowMs: number;
  budget: number;
  readonly rows: Map<Sequence, number>;
}

/**
 * Which rows the next step computes. Pure and synchronous: time comes in, the cache is only counted. There are no phases:
 * 1. every running sequence that waits for its next token gets one row, in order of arrival: a long prompt delays nobody's tokens;
 * 2. waiting ones begin, in the order of {@link FairQueue}, while their tokens fit into the blocks that are left;
 * 3. what is left of the step goes to the longer gaps, shared among tenants: one tenant's long prompts delay nobody's first token;
 * 4. a step of few rows gets more: guesses of what comes next, in equal parts, in blocks that nobody else needs.
 *
 * Blocks are taken as rows are planned. When there is none, a cached one that nobody reads goes, then a running sequence: its blocks go
 * back, and it waits at the head of its tenant's queue to be computed again. The sequence that came first of those that run never
 * goes and can take from all others, so there is always one that comes nearer to its end.
 */
export class Scheduler {
  readonly #limits: SchedulerLimits;
  readonly #cache: KvCache;
  readonly #queue: FairQueue;
  readonly #numPlaces: number;
  /** In order of arrival. */
  #running: Sequence[] = [];
  #numArrived = 0;
  /** Sequences that lost their blocks and were computed again. */
  numPreemptions = 0;

  constructor(limits: SchedulerLimits, cache: KvCache) {
    this.#limits = limits;
    this.#cache = cache;
    // At most one sequence a row of a step: whoever runs gets on in every step.
    this.#numPlaces = Math.min(limits.maxSequences, limits.maxStepTokens);
    this.#queue = new FairQueue({ ...limits, maxSequences: this.#numPlaces });
  }

  get numWaiting(): number {
    return this.#queue.numWaiting;
  }

  get numRunning(): number {
    return this.#running.length;
  }

  /** @throws OVERLOADED */
  add(sequence: Sequence, nowMs: number): void {
    assert(sequence.maxTokens <= this.#cache.blocks.numBlocks * this.#cache.blocks.blockSize, 'a sequence fits alone');
    sequence.order = this.#numArrived++;
    sequence.arrivedMs = nowMs;
    this.#queue.add(sequence, nowMs);
  }

  /** Takes a sequence out, wherever it is, and frees its blocks. */
  remove(sequence: Sequence): void {
    if (this.#running.includes(sequence)) {
      this.#running = this.#running.filter((other) => other !== sequence);
      this.#queue.end(sequence);
      this.#cache.release(sequence);
    } else {
      this.#queue.remove(sequence);
    }
  }

  schedule(nowMs: number): Schedule {
    const late = this.#giveUpLate(nowMs);
    const planning: Planning = { nowMs, budget: this.#limits.maxStepTokens, rows: new Map() };
    for (const sequence of this.#running) if (sequence.numMissing === 1) this.#give(planning, sequence, 1);
    this.#admit(planning);
    this.#shareRest(planning);
    const numRows = this.#limits.maxStepTokens - planning.budget;
    const drafts = planDrafts(planning.rows, { numRows, numLeft: planning.budget }, this.#cache, this.#running.length);
    const plan = [...planning.rows].map(([sequence, numNew]): PlannedRows => ({
      sequence,
      numNew,
      draft: drafts.get(sequence) ?? NO_DRAFT,
    }));
    for (const { sequence, numNew } of plan) {
      if (sequence.numComputed + numNew === sequence.numTokens) this.#queue.charge(sequence, GENERATED_COST);
    }
    const givenUp = [...late, ...this.#queue.giveUpOverdue(nowMs)];
    return { plan: plan.toSorted(byAdapter), givenUp };
  }

  /** Says that the rows of a plan are in the cache. */
  commit(plan: StepPlan): void {
    for (const { sequence, numNew } of plan) {
      sequence.numComputed += numNew;
      this.#cache.settle(sequence);
    }
  }

  /**
   * Says that the first `numRight` tokens that were guessed are the sequence's, so that their rows are in the cache. A last token stays to
   * be computed, as after any step.
   */
  accept(sequence: Sequence, numRight: number): void {
    const { numComputed, numTokens } = sequence;
    sequence.numComputed = Math.max(numComputed, Math.min(numComputed + numRight, numTokens - 1));
    this.#cache.settle(sequence);
    this.#queue.charge(sequence, GENERATED_COST * numRight);
  }

  /** Takes out what has no token yet at its deadline, whether it waits or its prompt is being read. */
  #giveUpLate(nowMs: number): GivenUp[] {
    const late = [...this.#running, ...this.#queue.waiting()].filter((sequence) => isLate(sequence, nowMs));
    for (const sequence of late) this.remove(sequence);
    return late.map((sequence) => ({ sequence, error: deadlineExceeded('the server is busy') }));
  }

  /** Plans up to `numRows` rows of a running sequence, as far as there is budget and blocks. @returns how many */
  #give(planning: Planning, sequence: Sequence, numRows: number): number {
    if (!this.#running.includes(sequence)) return 0;
    const before = planning.rows.get(sequence) ?? 0;
    const begin = Math.max(sequence.numComputed + before, sequence.numGiven);
    const wanted = Math.min(numRows, planning.budget, sequence.numTokens - begin);
    if (wanted <= 0) return 0;
    while (!this.#cache.extend(sequence, begin + wanted)) {
      const victim = this.#victimFor(sequence);
      if (!victim) break;
      this.#preempt(planning, victim);
    }
    const numHeld = sequence.blocks.length * this.#cache.blocks.blockSize;
    const numNew = Math.min(wanted, numHeld - begin);
    if (numNew <= 0) return 0;
    planning.budget -= numNew;
    planning.rows.set(sequence, begin + numNew - sequence.numComputed);
    return numNew;
  }

  /**
   * Who goes so that `sequence` gets a block: of the tenant whose sequence came last, the one with the lowest priority, of those the one
   * that came last. Undefined when that is the sequence itself: it keeps what it has and waits for the others.
   */
  #victimFor(sequence: Sequence): Sequence | undefined {
    const last = this.#running.at(-1);
    assert(last, 'somebody runs');
    const victim = this.#leastOf(last.tenant);
    return victim === sequence ? undefined : victim;
  }

  /** The sequence of a tenant that goes first; never the one that came first of all. */
  #leastOf(tenant: string | null): Sequence | undefined {
    let least: Sequence | undefined;
    for (const sequence of this.#running.slice(1)) {
      if (sequence.tenant === tenant && (!least || sequence.priority <= least.priority)) least = sequence;
    }
    return least;
  }

  #preempt(planning: Planning, victim: Sequence): void {
    const planned = planning.rows.get(victim) ?? 0;
    const begin = Math.max(victim.numComputed, victim.numGiven);
    if (planned > 0) planning.budget += victim.numComputed + planned - begin;
    planning.rows.delete(victim);
    this.#running = this.#running.filter((other) => other !== victim);
    this.#cache.release(victim);
    this.#queue.putBack(victim, planning.nowMs);
    this.numPreemptions++;
  }

  #admit(planning: Planning): void {
    this.#makeRoom(planning);
    if (this.#queue.numWaiting === 0) return;
    const line = this.#queue.line(planning.nowMs);
    while (this.#running.length < this.#numPlaces) {
      const sequence = line.next();
      if (!sequence) return;
      const tenant = this.#queue.tenantOf(sequence);
      if (!this.#hasUse(planning, sequence)) {
        line.pass(tenant);
      } else if (this.#fits(sequence)) {
        this.#begin(sequence, planning.nowMs);
        line.begun(sequence, tenant);
      } else {
        // Smaller ones of other tenants may pass it, but not for ever.
        if (this.#queue.isOverdue(sequence, planning.nowMs)) return;
        line.pass(tenant);
      }
    }
  }

  /** Whether the step has rows for one more: some that nobody needs, or some of its tenant's part of them. */
  #hasUse(planning: Planning, sequence: Sequence): boolean {
    // What is being computed already is worth waiting for: the choices of one request, many questions to one document.
    if (this.#cache.isBeingComputed(sequence, this.#running)) return false;
    const tenant = this.#queue.tenantOf(sequence);
    let [numMissing, numOwn] = [0, 0];
    const hungry = new Set([tenant]);
    for (const other of this.#running) {
      if (planning.rows.has(other)) continue;
      numMissing += other.numMissing;
      if (other.tenant === tenant.id) numOwn += other.numMissing;
      else hungry.add(this.#queue.tenantOf(other));
    }
    let weight = 0;
    for (const other of hungry) weight += other.weight;
    return numMissing < planning.budget || numOwn < (planning.budget * tenant.weight) / weight;
  }

  /**
   * Whether all tokens that the sequence has so far fit, beside those that the running ones have. Only what they will generate is not
   * reserved; a hundredth of the blocks is left for it.
   */
  #fits(sequence: Sequence): boolean {
    if (this.#running.length === 0) return true;
    const spare = Math.ceil(this.#cache.blocks.numBlocks / 100);
    const owed = this.#running.reduce((sum, other) => sum + this.#cache.numOwed(other), spare);
    return this.#cache.numNeeded(sequence, sequence.numTokens) + owed <= this.#cache.numAvailable;
  }

  #begin(sequence: Sequence, nowMs: number): void {
    this.#queue.begin(sequence, nowMs);
    this.#cache.begin(sequence);
    if (!sequence.hasBegun) {
      sequence.queuedMs = nowMs - sequence.waitingSinceMs;
      sequence.cachedTokens = Math.max(0, sequence.numComputed - sequence.numVirtual);
      this.#queue.charge(sequence, PROMPT_COST * sequence.numMissing);
      sequence.hasBegun = true;
    }
    this.#running = [...this.#running, sequence].toSorted((a, b) => a.order - b.order);
  }

  /** Somebody has waited too long while others hold more places than their part: sequences of those go for it. */
  #makeRoom(planning: Planning): void {
    const overdue = this.#queue.overdue(planning.nowMs);
    if (!overdue || !this.#hasUse(planning, overdue)) return;
    while (this.#running.length >= this.#numPlaces || !this.#fits(overdue)) {
      const victim = this.#leastOfGreedy();
      if (!victim) return;
      this.#preempt(planning, victim);
    }
  }

  /** Of the tenant that holds most places beyond its part. */
  #leastOfGreedy(): Sequence | undefined {
    let most = 1;
    let victim: Sequence | undefined;
    for (const tenant of this.#queue.running()) {
      const excess = tenant.numRunning / this.#queue.shareOf(tenant);
      if (excess <= most) continue;
      const least = this.#leastOf(tenant.id);
      if (!least) continue;
      most = excess;
      victim = least;
    }
    return victim;
  }

  /** Shares the rows that are left among tenants by weight; inside a tenant by priority, then in order of arrival. */
  #shareRest(planning: Planning): void {
    let hungry = this.#hungryTenants(planning);
    while (planning.budget > 0 && hungry.length > 0) {
      const { budget } = planning;
      const weight = hungry.reduce((sum, { tenant }) => sum + tenant.weight, 0);
      hungry = hungry.filter(({ tenant, sequences }) => {
        const part = Math.max(1, Math.floor((budget * tenant.weight) / weight));
        let left = Math.min(part, planning.budget);
        for (const sequence of sequences) left -= this.#give(planning, sequence, left);
        // A tenant that could not use its part is satisfied, or waits for blocks.
        return left === 0;
      });
    }
  }

  #hungryTenants(planning: Planning): { readonly tenant: Tenant; readonly sequences: Sequence[] }[] {
    const byTenant = new Map<Tenant, Sequence[]>();
    for (const sequence of this.#running) {
      if (planning.rows.has(sequence)) continue;
      const tenant = this.#queue.tenantOf(sequence);
      const sequences = byTenant.get(tenant);
      if (sequences) sequences.push(sequence);
      else byTenant.set(tenant, [sequence]);
    }
    const hungry = [...byTenant].map(([tenant, sequences]) => ({
      tenant,
      sequences: sequences.sort((a, b) => b.priority - a.priority || a.order - b.order),
    }));
    return hungry.sort((a, b) => (isServedLess(a.tenant, b.tenant) ? -1 : 1));
  }
}

function byAdapter(a: PlannedRows, b: PlannedRows): number {
  const [x, y] = [a.sequence.request.adapter ?? '', b.sequence.request.adapter ?? ''];
  return x < y ? -1 : x > y ? 1 : 0;
}
