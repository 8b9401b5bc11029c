import { z } from 'zod';
import { MAX_TRAINED_TOKENS } from '../../limits.ts';

const IDS = {
  error: `must be a list of at most ${MAX_TRAINED_TOKENS} different token ids, in one of PEFT's two forms: a list, or {"embed_tokens": list}`,
};

/** Ids of trained tokens, in the order of their rows. */
export const tokenIds = z
  .array(z.int(IDS).min(0, IDS), IDS)
  .min(1, IDS)
  .max(MAX_TRAINED_TOKENS, IDS)
  .refine((ids) => new Set(ids).size === ids.length, IDS);

/** Names of the input embedding in the configs of Llama-like models. */
export const EMBEDDING_NAMES = ['embed_tokens', 'model.embed_tokens'] as readonly string[];

const byModule = z
  .record(z.string(), tokenIds, IDS)
  .refine((modules) => Object.keys(modules).length === 1 && Object.keys(modules).every(isEmbedding), {
    error: 'is supported for embed_tokens only',
  });

function isEmbedding(name: string): boolean {
  return EMBEDDING_NAMES.includes(name);
}

/** LoRA's `trainable_token_indices`: token rows that are trained beside the matrices. */
export const tokenIndices = z.union([tokenIds, byModule], IDS).nullable().default(null);

export type TokenIndices = z.output<typeof tokenIndices>;

/** The ids of {@link tokenIndices}, in the order of their rows; none when there are none. */
export function idsOf(indices: TokenIndices): readonly number[] {
  if (indices === null) return [];
  return Array.isArray(indices) ? indices : Object.values(indices).flat();
}
