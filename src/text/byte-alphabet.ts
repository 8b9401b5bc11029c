/**
 * The printable alphabet of byte-level BPE (GPT-2): each of the 256 bytes is one character, so that a vocabulary file is text.
 * Bytes that are printable in Latin-1 stand for themselves, the others take the code points from U+0100 on, in order.
 */
const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const charOfByte: string[] = [];
const byteOfChar = new Map<string, number>();
let nextCode = 0x100;
for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(isPrintable(byte) ? byte : nextCode++);
  charOfByte.push(char);
  byteOfChar.set(char, byte);
}

const utf8 = new TextEncoder();

/** The text's UTF-8 bytes in the printable alphabet: `" a"` gives `"Ġa"`. */
export function toByteAlphabet(text: string): string {
  let result = '';
  for (const byte of utf8.encode(text)) result += charOfByte[byte];
  return result;
}

/** The bytes that a token of the vocabulary stands for; a token outside the alphabet stands for its own UTF-8 (as in Hugging Face). */
export function fromByteAlphabet(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfChar.get(token.charAt(i));
    if (byte === undefined) return utf8.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
