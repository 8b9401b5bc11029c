import { ANY_OBJECT, literal, type Grammar } from './grammar.ts';

/** A call of one tool, as the model writes it: `begin`, its arguments, `end`. */
export interface CallForm {
  readonly begin: string;
  readonly end: string;
  /** JSON Schema of the arguments, an object. Null: any object. */
  readonly schema: unknown;
  /** The request's field that holds the schema. */
  readonly param: string;
}

/** How calls stand in an answer. */
export interface CallLayout {
  /** What every `begin` begins with, and nothing else in an answer; empty: an answer is calls exactly if it begins with a brace. */
  readonly marker: string;
  /** Between two calls. */
  readonly separator: string;
  /** Whether an answer ends with its first call. */
  readonly isSingle: boolean;
}

/** An answer that is calls and nothing else: one, or one or more. */
export function callsOnly(calls: readonly CallForm[], { separator, isSingle }: CallLayout): Grammar {
  const call = oneOf(calls.map((form) => callGrammar(form, form.begin)));
  return isSingle ? call : { kind: 'repeat', part: call, separator };
}

/** Any text; but a call, once it has begun, is a whole call of one of these tools. */
export function textWithCalls(calls: readonly CallForm[], layout: CallLayout): Grammar {
  const { marker, isSingle } = layout;
  if (marker === '') return oneOf([callsOnly(calls, layout), { kind: 'regex', pattern: '([^{\\s](.|\\n)*)?' }]);
  const part = oneOf(calls.map((form) => callGrammar(form, form.begin.slice(marker.length))));
  return { kind: 'marked', marker, part, isSingle };
}

function callGrammar({ end, schema, param }: CallForm, begin: string): Grammar {
  const given: Grammar = schema === null ? ANY_OBJECT : { kind: 'json', schema, param };
  return { kind: 'sequence', parts: [literal(begin), given, literal(end)] };
}

function oneOf(options: readonly Grammar[]): Grammar {
  return options.length === 1 ? options[0] : { kind: 'either', options };
}
