/**
 * What an answer may look like. The parts say what text they allow; the whole grammar must be matched from the first character to the last.
 */
export type Grammar =
  /** JSON that a schema (JSON Schema 2020-12; `true` is any JSON) allows. White space is free within bounds, but not around it. */
  | {
      readonly kind: 'json';
      readonly schema: unknown;
      /** The request's field that holds the schema. */ readonly param: string;
    }
  /** A regular expression in the syntax of Rust's regex crate, without look-around and back references. */
  | { readonly kind: 'regex'; readonly pattern: string }
  /** Exactly this text. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'sequence'; readonly parts: readonly Grammar[] }
  | { readonly kind: 'choice'; readonly options: readonly Grammar[] }
  /** Once or more, with `separator` between. */
  | { readonly kind: 'repeat'; readonly part: Grammar; readonly separator: string };

/** One of these texts. */
export function oneOf(texts: readonly string[]): Grammar {
  return { kind: 'choice', options: texts.map((text) => ({ kind: 'text', text })) };
}

/** Any JSON object. */
export function anyObject(param: string): Grammar {
  return { kind: 'json', schema: { type: 'object' }, param };
}
