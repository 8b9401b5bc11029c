import { callBegin, callEnd, type ToolSyntax } from './tool-syntax.ts';

/** A piece of an answer, in the order in which it was written. */
export type AnswerPart = TextPart | CallPart;

export interface TextPart {
  readonly kind: 'text';
  readonly text: string;
  /** Where, in the answer as the model wrote it, this part ends; in UTF-16 units. */
  readonly end: number;
}

/** A piece of a call: the first has the tool's name, the others parts of its arguments. */
export interface CallPart {
  readonly kind: 'call';
  /** The call, from 0. */
  readonly index: number;
  readonly name?: string;
  /** JSON, as the model wrote it. */
  readonly argumentsText: string;
  readonly end: number;
}

/**
 * Finds tool calls in an answer that comes piece by piece; the result does not depend on how it is cut. What a call holds is passed on
 * as soon as it is certain: the tool's name when its arguments begin, then the arguments as they come.
 *
 * The answer is one that a grammar (`grammar/tool-calls.ts`) has let through, so a call that has begun is sound as far as it goes: it can
 * be cut off, but not wrong. Of a call that is cut off before its arguments nothing is passed on. White space around calls is not, but between two texts.
 */
export class ToolCallParser {
  readonly #syntax: ToolSyntax;
  readonly #onlyCalls: boolean;
  readonly #begins: readonly { readonly name: string; readonly text: string }[];
  #state: 'text' | 'arguments' | 'end' = 'text';
  /** What has come and is not yet passed on. */
  #held = '';
  #offset = 0;
  #isAfterCall = false;
  #hasText = false;
  #extent = new JsonExtent();
  #numCalls = 0;

  /**
   * @param names of the tools, none of which needs escapes in JSON
   * @param onlyCalls there is no text: what looks like some is the beginning of a call
   */
  constructor(syntax: ToolSyntax, names: Iterable<string>, { onlyCalls }: { readonly onlyCalls: boolean }) {
    this.#syntax = syntax;
    this.#onlyCalls = onlyCalls;
    this.#begins = Array.from(names, (name) => ({ name, text: callBegin(syntax, name) }));
  }

  /** Whether there are calls, and none is cut off in its arguments. */
  get endsInCalls(): boolean {
    return this.#numCalls > 0 && this.#state !== 'arguments';
  }

  push(piece: string): AnswerPart[] {
    this.#held += piece;
    return this.#parts(false);
  }

  /** What is left when nothing more comes. */
  finish(): AnswerPart[] {
    return this.#parts(true);
  }

  #parts(isEnd: boolean): AnswerPart[] {
    const parts: AnswerPart[] = [];
    while (this.#takeOne(isEnd, parts));
    return parts;
  }

  /** Passes on what the state allows. @returns whether there may be more */
  #takeOne(isEnd: boolean, parts: AnswerPart[]): boolean {
    switch (this.#state) {
      case 'text':
        return this.#takeText(isEnd, parts);
      case 'arguments':
        return this.#takeArguments(parts);
      case 'end':
        return this.#takeEnd(isEnd);
    }
  }

  #takeText(isEnd: boolean, parts: AnswerPart[]): boolean {
    if (this.#isAfterCall && !this.#takeSpace(isEnd)) return false;
    const start = this.#callStart();
    if (start >= 0) {
      const begun = this.#begins.find(({ text }) => this.#held.startsWith(text, start));
      if (begun) {
        this.#takeAsText(this.#held.slice(0, start).trimEnd().length, parts);
        this.#take(this.#held.indexOf(begun.text) + begun.text.length);
        parts.push({
          kind: 'call',
          index: this.#numCalls++,
          name: begun.name,
          argumentsText: '',
          end: this.#offset,
        });
        this.#extent = new JsonExtent();
        this.#state = 'arguments';
        return true;
      }
    }
    const certain = start >= 0 ? start : this.#held.length - startLength(this.#held, this.#syntax.marker);
    const isText = isEnd && start < 0;
    this.#takeAsText(isText ? this.#held.length : this.#held.slice(0, certain).trimEnd().length, parts);
    if (isEnd) this.#take(this.#held.length);
    return false;
  }

  /** What separates a call from what follows; only between two texts it is text. @returns false while that is not known */
  #takeSpace(isEnd: boolean): boolean {
    const separator = this.#syntax.marker === '' ? /^[\s;]*/ : /^\s*/;
    const length = separator.exec(this.#held)?.[0].length ?? 0;
    const isAll = length === this.#held.length;
    if (isAll && !isEnd) return false;
    if (isAll || !this.#hasText) this.#take(length);
    return true;
  }

  /** Where a call may begin in what is held; −1: nowhere as yet. */
  #callStart(): number {
    const { marker } = this.#syntax;
    if (marker !== '') return this.#held.indexOf(marker);
    const isAtStart = this.#offset === 0 || this.#isAfterCall;
    return isAtStart && this.#held.startsWith('{') ? 0 : -1;
  }

  #takeArguments(parts: AnswerPart[]): boolean {
    const { length, isWhole } = this.#extent.follow(this.#held);
    if (length > 0) {
      const argumentsText = this.#take(length);
      parts.push({ kind: 'call', index: this.#numCalls - 1, argumentsText, end: this.#offset });
    }
    if (isWhole) this.#state = 'end';
    return isWhole;
  }

  #takeEnd(isEnd: boolean): boolean {
    const end = callEnd(this.#syntax);
    if (this.#held.length < end.length && !isEnd) return false;
    this.#take(end.length);
    this.#isAfterCall = true;
    this.#state = 'text';
    return true;
  }

  #takeAsText(length: number, parts: AnswerPart[]): void {
    if (length === 0 || this.#onlyCalls) return;
    this.#isAfterCall = false;
    this.#hasText = true;
    const text = this.#take(length);
    parts.push({ kind: 'text', text, end: this.#offset });
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#offset += text.length;
    return text;
  }
}

/** Follows JSON text piece by piece to the end of its first value, which must be an object or a list. */
class JsonExtent {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  /** How many characters of `text` belong to the value, and whether its last bracket is among them. */
  follow(text: string): { readonly length: number; readonly isWhole: boolean } {
    for (let i = 0; i < text.length; i++) {
      const char = text.charAt(i);
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (char === '\\') this.#isEscaped = true;
        else if (char === '"') this.#isInString = false;
      } else if (char === '"') {
        this.#isInString = true;
      } else if (char === '{' || char === '[') {
        this.#depth++;
      } else if ((char === '}' || char === ']') && --this.#depth === 0) {
        return { length: i + 1, isWhole: true };
      }
    }
    return { length: text.length, isWhole: false };
  }
}

/** The length of the longest end of the text that begins the marker, short of all of it. */
function startLength(text: string, marker: string): number {
  let length = Math.max(0, Math.min(marker.length - 1, text.length));
  while (length > 0 && !text.endsWith(marker.slice(0, length))) length--;
  return length;
}
