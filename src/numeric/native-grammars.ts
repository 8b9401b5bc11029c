import { assert, broken, errorMessage, EspalierError } from '../base/index.ts';
import { integers, loadAddon, size, type Addon, type Handle } from './native-addon.ts';

/** What each token of a vocabulary adds to a text, laid end to end. */
export interface TokenBytes {
  readonly bytes: Uint8Array;
  /** `ends_V[id]`: where the bytes of token `id` end. A token without bytes (control tokens, gaps) never spells text. */
  readonly ends_V: Int32Array;
  /** Tokens that end an answer; at least one. */
  readonly stopIds: readonly number[];
}

/** One answer's way through a grammar. It belongs to one thread; disposing of it frees its memory. */
export interface GrammarProgress extends Disposable {
  /**
   * Writes which tokens may come next, one bit each, the lowest token lowest. Stop tokens are among them where the grammar is satisfied.
   * @param mask ⌈V / 32⌉ words
   * @returns false when no token of this vocabulary can go on
   * @throws REQUEST_INVALID when the next token would be more work than the limits allow
   */
  mask(mask: Int32Array): boolean;
  /** Takes the next token, which the mask must allow. @returns whether the answer is whole: only a stop token could follow */
  accept(token: number): boolean;
}

/** A compiled grammar; it never changes. */
export interface NativeGrammar {
  start(): GrammarProgress;
}

/** The grammars of one vocabulary. */
export interface NativeGrammars {
  /** Words of a mask. */
  readonly maskWords: number;
  /**
   * Compiles off this thread. The limits count work, so that they do not depend on the machine.
   * @param definition the engine's JSON form: `{"grammars": [{"lark_grammar"}, {"name", "json_schema"}…]}`
   * @throws REQUEST_INVALID with the engine's reason
   */
  compile(definition: string): Promise<NativeGrammar>;
}

/** @throws NATIVE_MISSING when the addon has not been built */
export function loadNativeGrammars({ bytes, ends_V, stopIds }: TokenBytes): NativeGrammars {
  const addon = loadAddon();
  const V = ends_V.length;
  let before = 0;
  for (const end of ends_V) {
    if (end < before || end > bytes.length) broken(`the bytes of a token end at ${end} of ${bytes.length}`);
    before = end;
  }
  for (const id of stopIds) assert(size('a stop token', id) < V, `stop token ${id} is in the vocabulary of ${V}`);
  assert(stopIds.length > 0, 'a token ends the answer');
  const vocabulary = addon.grammarVocabulary(bytes, ends_V, Int32Array.from(stopIds));
  const maskWords = Math.ceil(V / 32);
  return {
    maskWords,
    async compile(definition) {
      try {
        const grammar = await addon.grammarCompile(vocabulary, definition);
        return { start: () => startAnswer(addon, grammar, V) };
      } catch (error) {
        throw asRequestError(error);
      }
    },
  };
}

function startAnswer(addon: Addon, grammar: Handle, V: number): GrammarProgress {
  const answer = addon.grammarStart(grammar);
  const maskWords = Math.ceil(V / 32);
  return {
    mask(mask) {
      integers('mask', mask, maskWords);
      try {
        return addon.grammarMask(answer, mask);
      } catch (error) {
        throw asRequestError(error);
      }
    },
    accept(token) {
      assert(size('token', token) < V, `token ${token} is in the vocabulary of ${V}`);
      try {
        return addon.grammarAccept(answer, token);
      } catch (error) {
        throw asRequestError(error);
      }
    },
    [Symbol.dispose]: () => addon.grammarFree(answer),
  };
}

/** Of the addon's errors, those with the status InvalidArg say what is wrong with the grammar. */
function asRequestError(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'InvalidArg') return error;
  return new EspalierError('REQUEST_INVALID', `the grammar cannot be used: ${errorMessage(error)}`, { cause: error });
}
