import type { SiteHooks } from '../model/index.ts';
import type { TrainedConfig } from './full-model.ts';
import { groupByTokens, type TokenExample } from './pack.ts';
import { groupBySharedRows } from './shared-prefix.ts';

/**
 * Cuts the examples of a step, in order, into micro-batches of at most `maxRows` rows, virtual ones counted.
 * @param sharesPrefix a micro-batch computes a common beginning once; never behind virtual tokens
 * @returns index ranges [begin, end)
 */
export function microBatches(
  examples: readonly TokenExample[],
  maxRows: number,
  hooks: SiteHooks,
  sharesPrefix: boolean,
): (readonly [number, number])[] {
  return sharesPrefix && !hooks.numVirtual
    ? groupBySharedRows(examples, maxRows)
    : groupByTokens(lengthsOf(examples, hooks), maxRows);
}

/** Rows of each example: its tokens, and the virtual ones before each of its sequences. */
export function lengthsOf(
  examples: readonly TokenExample[],
  { numVirtual = 0 }: { numVirtual?: number } = {},
): number[] {
  return examples.map(({ tokenIds, ends }) => tokenIds.length + numVirtual * (ends?.length ?? 1));
}

/** Whether values are zeroed at random: rows that are alike then differ. */
export function hasDropout(adapter: TrainedConfig): boolean {
  return Object.entries(adapter).some(([field, value]) => field.endsWith('dropout') && value !== 0);
}
