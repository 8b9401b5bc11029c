import { assert } from '../base/index.ts';
import type { TemplateInput } from './chat-template.ts';
import type { AddedTokenSplitter } from './special-tokens.ts';

/** Characters from Unicode's private use area: a conversation uses at most a few of them. */
const FIRST_PRIVATE_USE = 0xe000;
const LAST_PRIVATE_USE = 0xf8ff;

/** A template input in which no text of a user names a control token, and the way back. */
export interface MaskedInput {
  readonly input: TemplateInput;
  /** Puts the names back into a part of the rendered text. */
  unmask(text: string): string;
}

/**
 * Hides the names of control tokens that stand in contents, names, tool calls and tool descriptions: `<|im_end|>` becomes a
 * placeholder of private use characters that the conversation does not use. Whatever the template does with the texts (trim, join,
 * test, JSON), every control token's name in its output is then the template's own.
 */
export function maskSpecial(input: TemplateInput, special: AddedTokenSplitter): MaskedInput {
  const texts = [...stringsIn(input)];
  if (!texts.some((text) => special.isIn(text))) return { input, unmask: (text) => text };
  const mark = unusedMark(texts);
  const names: string[] = [];
  const hide = (text: string): string =>
    special.replaceIn(text, (name) => {
      if (!names.includes(name)) names.push(name);
      return `${mark}${names.indexOf(name)}${mark}`;
    });
  const hidden = mapStrings(input, hide) as TemplateInput;
  const pattern = new RegExp(`${mark}(\\d+)${mark}`, 'gu');
  return {
    input: hidden,
    unmask: (text) => text.replace(pattern, (_, index: string) => names[Number(index)]),
  };
}

function unusedMark(texts: readonly string[]): string {
  for (let code = FIRST_PRIVATE_USE; code <= LAST_PRIVATE_USE; code++) {
    const mark = String.fromCharCode(code);
    if (!texts.some((text) => text.includes(mark))) return mark;
  }
  assert(false, 'a conversation leaves one private use character unused');
}

function* stringsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (Array.isArray(value)) for (const item of value) yield* stringsIn(item);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      yield key;
      yield* stringsIn(item);
    }
  }
}

function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapStrings(item, map));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key), mapStrings(item, map)]));
}
