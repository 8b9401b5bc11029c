import { assert } from '../../base/index.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import type { Sequence } from '../sequence.ts';
import type { Draft } from '../speculation/drafts.ts';

/**
 * Guessed rows are planned while a step has no more than so many rows. Few rows cost little more than one, because the base's weights
 * are read once for all of them; beyond, every row costs the same, and a guess that may be wrong does not pay.
 */
const MAX_ROWS_WITH_DRAFTS = 8;

/** Rows of a step: those that are planned, and those that it could still take. */
interface StepRoom {
  readonly numRows: number;
  readonly numLeft: number;
}

/**
 * Guesses for the sequences that get their next token in this step, in equal parts. Nobody waits for them: their blocks are those that are
 * still there when every running sequence has taken one more, and no sequence gives any up for them.
 * @param rows what is planned: positions of each sequence from its `numComputed` on
 */
export function planDrafts(
  rows: ReadonlyMap<Sequence, number>,
  { numRows, numLeft }: StepRoom,
  cache: KvCache,
  numRunning: number,
): Map<Sequence, Draft> {
  const drafts = new Map<Sequence, Draft>();
  let left = Math.min(numLeft, MAX_ROWS_WITH_DRAFTS - numRows);
  if (left <= 0) return drafts;
  const open = [...rows].filter(
    ([sequence, numNew]) => sequence.drafts && sequence.numComputed + numNew === sequence.numTokens,
  );
  for (const [index, [sequence]] of open.entries()) {
    const { tokenIds, request, numTokens, maxTokens, drafts: guesses } = sequence;
    const spareBlocks = Math.max(0, cache.numAvailable - numRunning);
    const most = Math.min(
      Math.ceil(left / (open.length - index)),
      // The row of the last guess chooses a token too, and that one must still be the request's.
      maxTokens - numTokens - 1,
      (sequence.blocks.length + spareBlocks) * cache.blocks.blockSize - numTokens,
    );
    if (!guesses || most <= 0) continue;
    const draft = guesses.propose(tokenIds, request.promptTokenIds.length, most);
    if (draft.tokenIds.length === 0) continue;
    const isHeld = cache.extend(sequence, numTokens + draft.tokenIds.length);
    assert(isHeld, 'there are blocks for the guesses');
    drafts.set(sequence, draft);
    left -= draft.tokenIds.length;
  }
  return drafts;
}
