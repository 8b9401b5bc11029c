/**
 * What an answer may look like, from its first character to its last.
 */
export type Grammar =
  /**
   * JSON that a schema (JSON Schema 2020-12; `true` is any JSON) allows. White space is free within bounds, but not around it.
   * `param` is the request's field that holds the schema, where it is not that of the whole grammar.
   */
  | { readonly kind: 'json'; readonly schema: unknown; readonly param?: string }
  /** A regular expression in the syntax of Rust's regex crate, without look-around and back references. */
  | { readonly kind: 'regex'; readonly pattern: string }
  /** Exactly one of these texts. */
  | { readonly kind: 'choice'; readonly texts: readonly string[] }
  /** One of these grammars. */
  | { readonly kind: 'either'; readonly options: readonly Grammar[] }
  /** One after the other. */
  | { readonly kind: 'sequence'; readonly parts: readonly Grammar[] }
  /** Once or more. */
  | { readonly kind: 'repeat'; readonly part: Grammar; readonly separator: string }
  /** Any text, in which the part follows each marker. With `isSingle` the first part ends the answer. */
  | { readonly kind: 'marked'; readonly marker: string; readonly part: Grammar; readonly isSingle: boolean };

/** Any JSON object. */
export const ANY_OBJECT: Grammar = { kind: 'json', schema: { type: 'object' } };

/** Exactly this text. */
export function literal(text: string): Grammar {
  return { kind: 'choice', texts: [text] };
}
