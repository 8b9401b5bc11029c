import type { Floats } from '../../numeric/index.ts';
import type { SamplingParams } from '../request.ts';

/** What stands before a sequence's next token. */
export interface SamplingContext {
  /** Prompt and generated tokens. */
  readonly tokenIds: readonly number[];
  readonly numPromptTokens: number;
  /** Tokens that may not come now. */
  readonly forbidden: readonly number[];
}

export const NO_CONTEXT: SamplingContext = { tokenIds: [], numPromptTokens: 0, forbidden: [] };

/** Whether anything is to be changed before a token is chosen: if not, the row is used as it is. */
export function hasAdjustments(params: SamplingParams, context: SamplingContext): boolean {
  const { logitBias = [], presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1 } = params;
  return (
    context.forbidden.length > 0 ||
    logitBias.length > 0 ||
    presencePenalty !== 0 ||
    frequencyPenalty !== 0 ||
    repetitionPenalty !== 1
  );
}

/**
 * A copy of a row of logits as the request wants it to be. In this order: the repetition penalty over prompt and answer
 * (Keskar et al., 2019: positive logits are divided, negative ones multiplied); OpenAI's penalties over the answer,
 * `logit − count · frequency − [count > 0] · presence`; the bias; what is forbidden.
 * @param logits_V not changed
 */
export function adjustedLogits(logits_V: Floats, params: SamplingParams, context: SamplingContext): Float64Array {
  const { logitBias = [], presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1 } = params;
  const { tokenIds, numPromptTokens, forbidden } = context;
  const adjusted_V = Float64Array.from(logits_V);
  if (repetitionPenalty !== 1) {
    for (const id of new Set(tokenIds)) {
      const logit = adjusted_V[id];
      adjusted_V[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    }
  }
  if (presencePenalty !== 0 || frequencyPenalty !== 0) {
    for (const [id, count] of countsOf(tokenIds, numPromptTokens)) {
      adjusted_V[id] = adjusted_V[id] - count * frequencyPenalty - presencePenalty;
    }
  }
  for (const [id, bias] of logitBias) adjusted_V[id] = adjusted_V[id] + bias;
  for (const id of forbidden) adjusted_V[id] = -Infinity;
  return adjusted_V;
}

function countsOf(tokenIds: readonly number[], begin: number): Map<number, number> {
  const counts = new Map<number, number>();
  for (let n = begin; n < tokenIds.length; n++) counts.set(tokenIds[n], (counts.get(tokenIds[n]) ?? 0) + 1);
  return counts;
}
