import type { Pace } from './rate-meter.ts';
import type { Sequence } from '../sequence.ts';

/** A tenant with requests that wait or run, or that was served more than the others have caught up with. */
export interface Tenant {
  readonly id: string | null;
  /** In the order in which they begin: preempted ones, then by priority, then by arrival. */
  readonly waiting: Sequence[];
  weight: number;
  /** What it was served, divided by its weight. */
  counter: number;
  numRunning: number;
  /** How fast its requests begin, while some wait. */
  readonly pace: Pace;
}

/** The order of one tenant's requests. */
export function goesBefore(a: Sequence, b: Sequence): boolean {
  if (a.hasBegun !== b.hasBegun) return a.hasBegun;
  if (!a.hasBegun && a.priority !== b.priority) return a.priority > b.priority;
  return a.order < b.order;
}

/** Which of two tenants goes first. */
export function isServedLess(a: Tenant, b: Tenant): boolean {
  if (a.counter !== b.counter) return a.counter < b.counter;
  return (a.waiting[0]?.order ?? Infinity) < (b.waiting[0]?.order ?? Infinity);
}

/** Whether the tenant wants service now. */
export function isActive({ waiting, numRunning }: Tenant): boolean {
  return waiting.length > 0 || numRunning > 0;
}
