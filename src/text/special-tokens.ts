import type { AddedTokenJson } from './tokenizer-json.ts';

/** A piece of text, or one token that the text names literally. */
export type Piece = { readonly text: string } | { readonly id: number };

/**
 * Finds the literal occurrences of added tokens in text: leftmost first, then longest, as Hugging Face does. White space that a
 * token takes with it (`lstrip`, `rstrip`) goes, and `single_word` tokens match only between non-word characters.
 */
export class AddedTokenSplitter {
  readonly #tokens = new Map<string, AddedTokenJson>();
  readonly #pattern: RegExp | undefined;

  constructor(tokens: readonly AddedTokenJson[]) {
    for (const token of tokens) this.#tokens.set(token.content, token);
    const contents = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    if (contents.length > 0) this.#pattern = new RegExp(contents.map(escapeRegExp).join('|'), 'gu');
  }

  /** Whether the text names any token. */
  isIn(text: string): boolean {
    return this.#pattern !== undefined && text.search(this.#pattern) >= 0;
  }

  /** The text with each token's name replaced. */
  replaceIn(text: string, replacement: (content: string) => string): string {
    return this.#pattern ? text.replace(this.#pattern, replacement) : text;
  }

  split(text: string): Piece[] {
    if (!this.#pattern) return text === '' ? [] : [{ text }];
    const pieces: Piece[] = [];
    let start = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#tokens.get(match[0]) as AddedTokenJson;
      const end = match.index + match[0].length;
      if (token.singleWord && touchesWord(text, match.index, end)) continue;
      // A token before may have taken this white space already.
      const before = text.slice(start, Math.max(start, match.index));
      const kept = token.lstrip ? before.trimEnd() : before;
      if (kept !== '') pieces.push({ text: kept });
      pieces.push({ id: token.id });
      start = token.rstrip ? end + (text.length - end - text.slice(end).trimStart().length) : end;
    }
    if (start < text.length) pieces.push({ text: text.slice(start) });
    return pieces;
  }
}

function touchesWord(text: string, start: number, end: number): boolean {
  return /[\p{L}\p{N}_]$/u.test(text.slice(0, start)) || /^[\p{L}\p{N}_]/u.test(text.slice(end));
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, (char) => (char === '-' ? String.raw`\x2d` : `\\${char}`));
}
