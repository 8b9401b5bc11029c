import type { Tokenizer } from './tokenizer.ts';

/** What each token adds to a text, laid end to end. */
export interface VocabularyBytes {
  readonly bytes: Uint8Array;
  /** `ends_V[id]`: where the bytes of token `id` end; they begin where those of the token before it end. */
  readonly ends_V: Int32Array;
  /** Tokens that end an answer. */
  readonly stopIds: readonly number[];
}

/**
 * The bytes of a vocabulary. Control tokens have none: no text spells them.
 * @param vocabSize ids of the model, which may have more than the tokenizer
 */
export function vocabularyBytes(tokenizer: Tokenizer, vocabSize: number): VocabularyBytes {
  const words = Array.from({ length: vocabSize }, (_, id) =>
    tokenizer.isSpecial(id) ? new Uint8Array(0) : tokenizer.tokenBytes(id),
  );
  const ends_V = new Int32Array(vocabSize);
  let end = 0;
  for (const [id, word] of words.entries()) ends_V[id] = end += word.length;
  const bytes = new Uint8Array(end);
  for (const [id, word] of words.entries()) bytes.set(word, ends_V[id] - word.length);
  return { bytes, ends_V, stopIds: tokenizer.eosIds };
}

/** Bytes of the longest token that a text can be spelled with. */
export function longestWord({ ends_V }: VocabularyBytes): number {
  let longest = 0;
  for (const [id, end] of ends_V.entries()) longest = Math.max(longest, end - (id > 0 ? ends_V[id - 1] : 0));
  return longest;
}
