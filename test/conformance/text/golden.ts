import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Tokenizer } from '../../../src/text/index.ts';

/** One text of a golden file: its ids with control tokens allowed, with none, and the latter decoded. */
export interface TokenCase {
  readonly text: string;
  readonly special: { readonly ids: readonly number[] };
  readonly plain: { readonly ids: readonly number[] };
  readonly decoded: string;
}

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../../golden/text/${name}`, import.meta.url));
}

export function readGolden<T>(name: string): T {
  return JSON.parse(readFileSync(goldenPath(name), 'utf8')) as T;
}

/** Where a tokenizer and a golden file disagree. An empty golden file is a disagreement too. */
export function differences(tokenizer: Tokenizer, cases: readonly TokenCase[]): string[] {
  const found = cases.length === 0 ? ['no cases'] : [];
  const compare = (what: string, text: string, ours: unknown, theirs: unknown): void => {
    const [a, b] = [JSON.stringify(ours), JSON.stringify(theirs)];
    if (a !== b) found.push(`${what} of ${JSON.stringify(text)}: ${a}, expected ${b}`);
  };
  for (const { text, special, plain, decoded } of cases) {
    compare('ids', text, [...tokenizer.encode(text, { allowSpecial: true })], special.ids);
    compare('plain ids', text, [...tokenizer.encode(text, { allowSpecial: false })], plain.ids);
    compare('decoded text', text, tokenizer.decode(plain.ids, { skipSpecial: false }), decoded);
  }
  return found;
}

interface TinyTokenizer {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly [string, string][] };
  readonly added_tokens: readonly { readonly id: number; readonly special: boolean }[];
}

/** The tiny tokenizer as a GGUF file would carry it, with the given splitting. */
export function tinyGgufMetadata(pre: string): Map<string, unknown> {
  const { model, added_tokens: added } = readGolden<TinyTokenizer>('tiny-tokenizer.json');
  const tokens = Object.entries(model.vocab).sort(([, a], [, b]) => a - b);
  const types = new Int32Array(tokens.length).fill(1);
  for (const { id, special } of added) types[id] = special ? 3 : 4;
  return new Map<string, unknown>([
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', pre],
    ['tokenizer.ggml.tokens', tokens.map(([token]) => token)],
    ['tokenizer.ggml.token_type', types],
    ['tokenizer.ggml.merges', model.merges.map((merge) => merge.join(' '))],
    ['tokenizer.ggml.bos_token_id', 0],
    ['tokenizer.ggml.eos_token_id', 2n],
    ['tokenizer.ggml.padding_token_id', 2],
    ['tokenizer.ggml.add_bos_token', false],
  ]);
}
