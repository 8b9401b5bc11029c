/** Whether bytes are a JSON value, may become one, or neither: written apart from any parser of ours, one byte at a time. */

class Ended extends Error {}
class Broken extends Error {}

/** The most white space in one place, and the escapes that answers use: a subset of RFC 8259. */
const MAX_WHITE_SPACE = 32;
const WHITE_SPACE = [0x20, 0x09, 0x0a, 0x0d];

const code = (char: string): number => char.charCodeAt(0);
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

class Reader {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  peek(): number {
    if (this.at >= this.#bytes.length) throw new Ended();
    return this.#bytes[this.at];
  }

  take(isRight: (byte: number) => boolean): number {
    const byte = this.peek();
    if (!isRight(byte)) throw new Broken();
    this.at++;
    return byte;
  }

  text(text: string): void {
    for (const char of text) this.take((byte) => byte === code(char));
  }

  space(): void {
    for (let count = 0; WHITE_SPACE.includes(this.peek()); count++) {
      if (count === MAX_WHITE_SPACE) throw new Broken();
      this.at++;
    }
  }

  value(): void {
    const byte = this.peek();
    if (byte === code('{')) this.list('}', () => this.member());
    else if (byte === code('[')) this.list(']', () => this.value());
    else if (byte === code('"')) this.string();
    else if (byte === code('t')) this.text('true');
    else if (byte === code('f')) this.text('false');
    else if (byte === code('n')) this.text('null');
    else this.number();
  }

  list(close: string, item: () => void): void {
    this.at++;
    this.space();
    if (this.peek() === code(close)) {
      this.at++;
      return;
    }
    for (;;) {
      item();
      this.space();
      if (this.take((byte) => byte === code(',') || byte === code(close)) === code(close)) return;
      this.space();
    }
  }

  member(): void {
    this.string();
    this.space();
    this.text(':');
    this.space();
    this.value();
  }

  string(): void {
    this.text('"');
    for (;;) {
      const byte = this.take(
        (found) => found >= 0x20 && found !== 0x7f && found !== 0xc0 && found !== 0xc1 && found < 0xf5,
      );
      if (byte === code('"')) return;
      if (byte === code('\\')) this.escape();
      else if (byte >= 0x80) this.character(byte);
    }
  }

  escape(): void {
    if (this.take((byte) => 'bfnrt"\\u'.includes(String.fromCharCode(byte))) !== code('u')) return;
    this.text('00');
    // Only characters that cannot stand for themselves: 0000 to 001f, and 007f.
    const third = this.take((byte) => '017'.includes(String.fromCharCode(byte)));
    const hex = third === code('7') ? 'fF' : '0123456789abcdefABCDEF';
    this.take((byte) => hex.includes(String.fromCharCode(byte)));
  }

  /** The rest of a character of UTF-8 (RFC 3629). */
  character(first: number): void {
    if (first < 0xc2) throw new Broken();
    const length = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    this.take((byte) => byte >= low && byte <= high);
    for (let i = 1; i < length; i++) this.take((byte) => byte >= 0x80 && byte <= 0xbf);
  }

  number(): void {
    if (this.peek() === code('-')) this.at++;
    if (this.take(isDigit) !== code('0')) this.digits();
    if (this.peek() === code('.')) {
      this.at++;
      this.take(isDigit);
      this.digits();
    }
    if (this.peek() === code('e') || this.peek() === code('E')) {
      this.at++;
      if (this.peek() === code('+') || this.peek() === code('-')) this.at++;
      this.take(isDigit);
      this.digits();
    }
  }

  digits(): void {
    while (isDigit(this.peek())) this.at++;
  }
}

/** Of a JSON object: `whole`, `begun` (some bytes after it make it whole) or `broken`. */
export function jsonObjectState(bytes: Uint8Array): 'whole' | 'begun' | 'broken' {
  const reader = new Reader(bytes);
  try {
    if (reader.peek() !== code('{')) return 'broken';
    reader.value();
    return reader.at === bytes.length ? 'whole' : 'broken';
  } catch (error) {
    if (error instanceof Ended) return 'begun';
    if (error instanceof Broken) return 'broken';
    throw error;
  }
}
