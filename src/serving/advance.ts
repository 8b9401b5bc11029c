import type { ReachedSequence } from './execute.ts';
import type { FinishReason, TokenEvent } from './request.ts';
import type { ChosenToken } from './sampling/choose.ts';
import type { Sequence } from './sequence.ts';

/** What a step has brought a sequence. */
export type Advanced = Pick<TokenEvent, 'tokenIds' | 'logprobs' | 'finishReason'> & {
  /** Guessed tokens that were right. */
  readonly numRight: number;
};

/**
 * Appends the token that is chosen from the row of the sequence's last one, and one from each guessed token's row while the guess is what was
 * chosen. Every choice is made from the same logits, after the same tokens, with the same random numbers and the same state
 * of a grammar as without guesses (Leviathan et al., 2023, with a draft that is certain of its tokens): answers keep their bits.
 * @param choose a token by its row of logits. What it throws for the first row is thrown on; for a later one, the step ends before
 *   that row, and the next step meets the same
 */
export function advance(
  { sequence, draft, rows }: ReachedSequence,
  choose: (row: ReachedSequence['rows'][number]) => ChosenToken,
): Advanced {
  const tokens: ChosenToken[] = [];
  let finishReason: FinishReason | null = null;
  let numRight = 0;
  for (const [index, row] of rows.entries()) {
    let token: ChosenToken;
    try {
      token = choose(row);
    } catch (error) {
      if (index === 0) throw error;
      break;
    }
    if (token.id === draft.tokenIds[index]) numRight++;
    const isStop = sequence.request.stopTokenIds.includes(token.id);
    finishReason = append(sequence, token.id, isStop);
    if (!isStop) tokens.push(token);
    if (finishReason || numRight === index) break;
  }
  return {
    tokenIds: tokens.map(({ id }) => id),
    finishReason,
    numRight,
    ...(sequence.request.logprobs && { logprobs: tokens.flatMap(({ logprob }) => logprob ?? []) }),
  };
}

function append(sequence: Sequence, id: number, isStop: boolean): FinishReason | null {
  if (isStop) return 'stop';
  sequence.tokenIds.push(id);
  // A grammar that nothing can follow ends the answer at once: a stop token would be the only one that may come.
  if (sequence.constraint?.accept(id)) return 'stop';
  return sequence.numTokens >= sequence.maxTokens ? 'length' : null;
}
