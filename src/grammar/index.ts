/**
 * grammar: what an answer may look like, from a JSON schema, an expression or a choice to the tokens that may come next.
 * Owns: the limits on grammars of strangers, the subset of JSON Schema that is enforced.
 * May import: numeric formats base.   Called by: serving app.
 * Runs on: any thread; an answer's progress belongs to one.
 * Throws: REQUEST_INVALID NATIVE_MISSING INTERNAL.
 */
export { ANY_OBJECT, type Grammar } from './grammar.ts';
export { callsOnly, textWithCalls, type CallForm, type CallLayout } from './tool-calls.ts';
export { engineForm } from './engine-form.ts';
export { GrammarCompiler } from './compile.ts';
export { checkJsonSchema } from './json-schema.ts';
export { GRAMMAR_LIMITS } from './limits.ts';
export { maskLogits } from './mask.ts';
