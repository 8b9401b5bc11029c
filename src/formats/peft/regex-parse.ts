/** One character's condition. */
export type CharTest = (code: number) => boolean;

/** The syntax tree of a regular expression without captures. */
export type RegexNode =
  | { readonly kind: 'char'; readonly test: CharTest }
  | { readonly kind: 'sequence'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'choice'; readonly options: readonly RegexNode[] }
  | { readonly kind: 'repeat'; readonly body: RegexNode; readonly min: number; readonly max: number }
  | { readonly kind: 'assert'; readonly what: 'start' | 'end' | 'boundary' | 'no-boundary' }
  | { readonly kind: 'look'; readonly body: RegexNode; readonly isNegative: boolean };

/** What is wrong with a pattern, in words that follow "regular expression …". */
export class RegexProblem extends Error {}

const isDigit: CharTest = (code) => code >= 48 && code <= 57;
const isWord: CharTest = (code) =>
  isDigit(code) || code === 95 || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
const isSpace: CharTest = (code) => code === 32 || (code >= 9 && code <= 13);
const not =
  (test: CharTest): CharTest =>
  (code) =>
    !test(code);

/** For word boundaries. */
export const isWordCode = isWord;

const CLASSES: Readonly<Record<string, CharTest>> = {
  d: isDigit,
  D: not(isDigit),
  w: isWord,
  W: not(isWord),
  s: isSpace,
  S: not(isSpace),
};
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', f: '\f', v: '\v', a: '\u0007' };

/** Groups in groups: the parser and the compiler descend this far. */
const MAX_DEPTH = 100;

/**
 * Parses the part of Python's `re` syntax that describes regular languages, and look-ahead. Back-references, look-behind, inline
 * flags, conditions and possessive quantifiers are refused. Greediness and group names do not matter for a full match.
 * @throws RegexProblem
 */
export function parseRegex(pattern: string): RegexNode {
  const parser = new RegexParser(pattern);
  const node = parser.choice(0);
  if (!parser.isAtEnd) throw new RegexProblem(`has an unopened ")" at ${parser.at}`);
  return node;
}

class RegexParser {
  readonly #pattern: string;
  at = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#pattern.length;
  }

  choice(depth: number): RegexNode {
    if (depth > MAX_DEPTH) throw new RegexProblem(`has groups nested deeper than ${MAX_DEPTH}`);
    const options = [this.#sequence(depth)];
    while (this.#skip('|')) options.push(this.#sequence(depth));
    return options.length === 1 && options[0] ? options[0] : { kind: 'choice', options };
  }

  #sequence(depth: number): RegexNode {
    const parts: RegexNode[] = [];
    while (!this.isAtEnd && !'|)'.includes(this.#peek())) parts.push(this.#repeated(depth));
    return { kind: 'sequence', parts };
  }

  #repeated(depth: number): RegexNode {
    const start = this.at;
    const body = this.#atom(depth);
    const bounds = this.#quantifier();
    if (!bounds) return body;
    if (body.kind === 'assert' || body.kind === 'look') throw new RegexProblem(`repeats an assertion at ${start}`);
    if (this.#peek() === '+')
      throw new RegexProblem(`has a possessive quantifier at ${this.at}, which is not supported`);
    this.#skip('?');
    if (!this.isAtEnd && '*+?'.includes(this.#peek()))
      throw new RegexProblem(`has a repeated quantifier at ${this.at}`);
    return { kind: 'repeat', body, ...bounds };
  }

  /** `*`, `+`, `?`, `{2}`, `{2,}`, `{,3}` or `{2,3}`. A brace that is none of these is a brace, as in Python. */
  #quantifier(): { min: number; max: number } | undefined {
    if (this.#skip('*')) return { min: 0, max: Infinity };
    if (this.#skip('+')) return { min: 1, max: Infinity };
    if (this.#skip('?')) return { min: 0, max: 1 };
    const counted = /^\{(?:(\d+)|(\d*),(\d*))\}/.exec(this.#pattern.slice(this.at, this.at + 24));
    if (!counted) return undefined;
    const [text, exact, least, most] = counted;
    this.at += text.length;
    const min = Number(exact ?? (least === '' ? 0 : least));
    const max = exact === undefined ? (most === '' ? Infinity : Number(most)) : min;
    if (max < min) throw new RegexProblem(`has the counts ${text} the wrong way round`);
    return { min, max };
  }

  #atom(depth: number): RegexNode {
    const at = this.at;
    const char = this.#next();
    switch (char) {
      case '(':
        return this.#group(depth, at);
      case '[':
        return { kind: 'char', test: this.#set(at) };
      case '.':
        return { kind: 'char', test: (code) => code !== 10 };
      case '^':
        return { kind: 'assert', what: 'start' };
      case '$':
        return { kind: 'assert', what: 'end' };
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw new RegexProblem(`has nothing to repeat before "${char}" at ${at}`);
      default:
        return literal(char);
    }
  }

  #group(depth: number, at: number): RegexNode {
    let look: { isNegative: boolean } | undefined;
    if (this.#skip('?')) {
      if (this.#skip('=')) look = { isNegative: false };
      else if (this.#skip('!')) look = { isNegative: true };
      else if (!this.#skip(':') && !this.#skipMatch(/^P<[A-Za-z_]\w*>/)) {
        throw new RegexProblem(`has "(?${this.#peek()}" at ${at}, which is not supported`);
      }
    }
    const body = this.choice(depth + 1);
    if (!this.#skip(')')) throw new RegexProblem(`has an unclosed "(" at ${at}`);
    return look ? { kind: 'look', body, ...look } : body;
  }

  #escape(): RegexNode {
    const at = this.at - 1;
    const char = this.#next();
    if (Object.hasOwn(CLASSES, char)) return { kind: 'char', test: CLASSES[char] };
    if (char === 'A') return { kind: 'assert', what: 'start' };
    if (char === 'Z') return { kind: 'assert', what: 'end' };
    if (char === 'b') return { kind: 'assert', what: 'boundary' };
    if (char === 'B') return { kind: 'assert', what: 'no-boundary' };
    if (char === '0' || /[1-9]/.test(char))
      throw new RegexProblem(`has the back-reference "\\${char}" at ${at}, which is not supported`);
    return literal(this.#escapedChar(char, at));
  }

  #escapedChar(char: string, at: number): string {
    const control = CONTROLS[char];
    if (control !== undefined) return control;
    if (/[a-zA-Z]/.test(char) || char === '')
      throw new RegexProblem(`has the escape "\\${char}" at ${at}, which is not supported`);
    return char;
  }

  /** `[a-z_\d]` or `[^…]`; a `]` that comes first and a `-` at either end stand for themselves. */
  #set(at: number): CharTest {
    const isNegative = this.#skip('^');
    const tests: CharTest[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) {
      if (this.isAtEnd) throw new RegexProblem(`has an unclosed "[" at ${at}`);
      const low = this.#setItem();
      if (typeof low !== 'string') {
        tests.push(low);
      } else if (this.#skipMatch(/^-(?!\])/)) {
        const high = this.#setItem();
        if (typeof high !== 'string' || high < low) throw new RegexProblem(`has a bad range in the "[" at ${at}`);
        const [from, to] = [low.charCodeAt(0), high.charCodeAt(0)];
        tests.push((code) => code >= from && code <= to);
      } else {
        const only = low.charCodeAt(0);
        tests.push((code) => code === only);
      }
    }
    this.#skip(']');
    const test: CharTest = (code) => tests.some((matches) => matches(code));
    return isNegative ? not(test) : test;
  }

  #setItem(): string | CharTest {
    const at = this.at;
    const char = this.#next();
    if (char !== '\\') return char;
    const escaped = this.#next();
    if (escaped === 'b') return '\b';
    return Object.hasOwn(CLASSES, escaped) ? CLASSES[escaped] : this.#escapedChar(escaped, at);
  }

  #peek(): string {
    return this.#pattern.charAt(this.at);
  }

  #next(): string {
    return this.#pattern.charAt(this.at++);
  }

  #skip(char: string): boolean {
    if (this.isAtEnd || this.#peek() !== char) return false;
    this.at++;
    return true;
  }

  #skipMatch(start: RegExp): boolean {
    const [text] = start.exec(this.#pattern.slice(this.at, this.at + 64)) ?? [];
    if (text === undefined) return false;
    this.at += text.length;
    return true;
  }
}

function literal(char: string): RegexNode {
  const wanted = char.charCodeAt(0);
  return { kind: 'char', test: (code) => code === wanted };
}
