import { GdsfPolicy } from './gdsf-policy.ts';
import { LruPolicy } from './lru-policy.ts';
import { S3FifoPolicy } from './s3-fifo-policy.ts';

/** What a policy may know of an entry. */
export interface EntryTraits {
  readonly sizeBytes: number;
  /** What it costs to have it back, in any unit that is the same for all entries: milliseconds of loading here. */
  readonly cost: number;
}

/**
 * Which entry of a tier goes next. A policy holds keys and counts, never values; the tier calls it at every event. What is held (in use)
 * is never a victim. Every call takes time that does not depend on how many adapters are known, and at most logarithmic time in how
 * many are resident.
 */
export interface EvictionPolicy {
  /** A key came in that was not here. It is idle until it is held. */
  admit(key: string, traits: EntryTraits): void;
  /** Somebody begins to use a key: it stays until it is released. Holding counts as a use. */
  hold(key: string): void;
  /** Nobody uses it any more. */
  release(key: string): void;
  /** A use without holding. */
  touch(key: string): void;
  /** A key goes for another reason than {@link victim}. */
  remove(key: string): void;
  /** Takes out and returns the idle key whose loss costs least; undefined when nothing is idle. */
  victim(): string | undefined;
}

export const POLICY_NAMES = ['lru', 's3-fifo', 'gdsf'] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];

/** The best of the comparison in docs/measurements.md. */
export const DEFAULT_POLICY: PolicyName = 'gdsf';

export function makePolicy(name: PolicyName): EvictionPolicy {
  switch (name) {
    case 'lru':
      return new LruPolicy();
    case 's3-fifo':
      return new S3FifoPolicy();
    case 'gdsf':
      return new GdsfPolicy();
  }
}
