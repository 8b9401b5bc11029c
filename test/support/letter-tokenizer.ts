import { loadTokenizerJson, type Tokenizer } from '../../src/text/index.ts';

/** Byte-level BPE writes each byte as one character: itself where it is printable, else the next one from U+0100 on. */
function byteCharacters(): string[] {
  let next = 0x100;
  const isPrintable = (byte: number): boolean => byte > 0x20 && byte !== 0xad && (byte < 0x7f || byte > 0xa0);
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

/** A `tokenizer.json` whose first 256 ids are the bytes; then two control tokens, one plain added token, and three merges. */
export function letterTokenizerJson() {
  const characters = byteCharacters();
  const newline = characters[0x0a];
  const tokens = [...characters, '<|start|>', '<|end|>', '<tool>', newline + newline, 'th', 'the'];
  const added = (content: string, special: boolean) => ({ content, id: tokens.indexOf(content), special });
  return {
    added_tokens: [added('<|start|>', true), added('<|end|>', true), added('<tool>', false)],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [`${newline} ${newline}`, 't h', 'th e'],
    },
  };
}

/** The tokenizer of {@link letterTokenizerJson}: nearly one token for each byte, so that a test can see through it. */
export function letterTokenizer(): Tokenizer {
  const config = { bos_token: '<|start|>', eos_token: '<|end|>' };
  return loadTokenizerJson(JSON.stringify(letterTokenizerJson()), 'letters', { config });
}
