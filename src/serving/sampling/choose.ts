import type { Floats } from '../../numeric/index.ts';
import { LogprobRow } from './logprobs.ts';
import type { RankedLogprob } from '../request.ts';
import { sampleToken } from './sampler.ts';
import type { Sequence } from '../sequence.ts';

/** A sequence's next token, with its log-probability if the request wants that. */
export interface ChosenToken {
  readonly id: number;
  readonly logprob: RankedLogprob | undefined;
}

/**
 * Chooses the next token of a sequence by its own row of logits and nothing else.
 * @param logits_V as the model gave them
 * @param best the lowest id with the highest of these logits, if it is known
 * @param restrict sets to −∞, in place, the logits of tokens that may not come; log-probabilities are those of before
 */
export function chooseToken(
  { request, rng, tokenIds }: Sequence,
  logits_V: Floats,
  best?: number,
  restrict?: (logits_V: Floats) => void,
): ChosenToken {
  const { sampling, stopTokenIds, minTokens = 0, logprobs } = request;
  const numPromptTokens = request.promptTokenIds.length;
  const row = logprobs && new LogprobRow(logits_V, logprobs.top);
  restrict?.(logits_V);
  const forbidden = tokenIds.length - numPromptTokens < minTokens ? stopTokenIds : [];
  const id = sampleToken(
    logits_V,
    sampling,
    rng,
    { tokenIds, numPromptTokens, forbidden },
    restrict ? undefined : best,
  );
  return { id, logprob: row?.of(id) };
}
