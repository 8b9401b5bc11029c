/**
 * What a grammar of a stranger may be. Checked before any work is done; the work itself has limits of its own
 * (native/src/grammar.rs).
 */
export const GRAMMAR_LIMITS = {
  /** Characters of a schema as JSON. The largest in common use (FHIR's) has a few million; a tool's has hundreds. */
  schemaLength: 256 * 1024,
  /** Characters of a whole grammar in the engine's form. */
  grammarLength: 512 * 1024,
  /** Schemas inside one another. */
  schemaDepth: 64,
  /** Schemas in a schema, those that are referred to counted once. */
  schemaNodes: 10_000,
  /** `maxLength`, `minItems` and their like. */
  repetitions: 10_000,
  /** Characters of a regular expression. */
  patternLength: 8 * 1024,
  /** Texts to choose from. */
  choices: 1_000,
  /** Characters of all texts to choose from. */
  choicesLength: 64 * 1024,
} as const;
