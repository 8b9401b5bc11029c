import { toByteAlphabet } from './byte-alphabet.ts';
import { loadTokenizerJson } from './load-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

/** For tests: a `tokenizer.json` with one token for each byte, merges of newlines and `the`, control tokens and one plain added token. */
export function letterTokenizerJson() {
  const single = Array.from({ length: 128 }, (_, byte) => toByteAlphabet(String.fromCharCode(byte)));
  const upper = Array.from({ length: 0x40 }, (_, index) => index + 0x80).flatMap((code) => Array.from(toByteAlphabet(String.fromCodePoint(code))));
  const lead = Array.from({ length: 0x800 }, (_, index) => toByteAlphabet(String.fromCodePoint(index * 0x220)));
  const bytes = new Set([...single, ...upper, ...lead.flatMap((text) => Array.from(text))]);
  for (let code = 0x21; bytes.size < 256; code++) bytes.add(String.fromCharCode(code));
  const newline = toByteAlphabet('\n');
  const tokens = [...bytes, '<|start|>', '<|end|>', '<tool>', newline + newline, 'th', 'the'];
  const added = (content: string, special: boolean) => ({ content, id: tokens.indexOf(content), special });
  return {
    added_tokens: [added('<|start|>', true), added('<|end|>', true), added('<tool>', false)],
    normalizer: null as object | null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false } as object,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [`${newline} ${newline}`, 't h', 'th e'] as unknown[],
    },
  };
}

export function letterTokenizer(): Tokenizer {
  const config = { bos_token: '<|start|>', eos_token: '<|end|>' };
  return loadTokenizerJson(JSON.stringify(letterTokenizerJson()), 'letters', { config });
}
