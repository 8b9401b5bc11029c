import type { DecodeOptions, Tokenizer } from './tokenizer.ts';

/**
 * Turns a stream of token ids into text. A token may end inside a character: its bytes are held back until the character is whole,
 * so that the pieces, one after the other with {@link flush}, are exactly what decoding all ids at once gives.
 */
export class StreamDetokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecial: boolean;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokenizer: Tokenizer, { skipSpecial }: DecodeOptions) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = skipSpecial;
  }

  /** The text that these ids complete, possibly empty. */
  push(ids: Iterable<number>): string {
    let text = '';
    for (const id of ids) {
      if (this.#skipSpecial && this.#tokenizer.isSpecial(id)) continue;
      text += this.#decoder.decode(this.#tokenizer.tokenBytes(id), { stream: true });
    }
    return text;
  }

  /** What is left at the end: U+FFFD for a character that never became whole. */
  flush(): string {
    return this.#decoder.decode();
  }
}
