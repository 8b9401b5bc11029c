/**
 * What an answer may look like, from its first character to its last.
 */
export type Grammar =
  /** JSON that a schema (JSON Schema 2020-12; `true` is any JSON) allows. White space is free within bounds, but not around it. */
  | { readonly kind: 'json'; readonly schema: unknown }
  /** A regular expression in the syntax of Rust's regex crate, without look-around and back references. */
  | { readonly kind: 'regex'; readonly pattern: string }
  /** Exactly one of these texts. */
  | { readonly kind: 'choice'; readonly texts: readonly string[] };

/** Any JSON object. */
export const ANY_OBJECT: Grammar = { kind: 'json', schema: { type: 'object' } };
