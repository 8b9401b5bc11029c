import type { NativeGrammar, NativeGrammars } from '../numeric/index.ts';
import { EspalierError } from '../base/index.ts';

/** Grammars that are kept compiled: a service asks for the same few shapes again and again. */
const MAX_KEPT = 32;

/**
 * Compiles grammars for one vocabulary, one at a time and off this thread, and keeps those used last.
 * What is kept is immutable: whether it was kept or made anew cannot be seen in an answer.
 */
export class GrammarCompiler {
  readonly #grammars: NativeGrammars;
  readonly #kept = new Map<string, NativeGrammar>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(grammars: NativeGrammars) {
    this.#grammars = grammars;
  }

  /** Words of a mask. */
  get maskWords(): number {
    return this.#grammars.maskWords;
  }

  /**
   * @param definition a grammar in the engine's form
   * @param param the request's field that the grammar is from, for messages
   * @param isWanted asked when its turn has come: what nobody waits for any more is not compiled
   * @returns undefined when it was not wanted
   * @throws REQUEST_INVALID when the grammar is wrong, asks for what cannot be enforced, or is too much work
   */
  compile(definition: string, param: string): Promise<NativeGrammar>;
  compile(definition: string, param: string, isWanted: () => boolean): Promise<NativeGrammar | undefined>;
  async compile(
    definition: string,
    param: string,
    isWanted: () => boolean = () => true,
  ): Promise<NativeGrammar | undefined> {
    // What is there waits for nobody's work.
    if (this.#kept.has(definition)) return this.#find(definition);
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    try {
      // One at a time: a flood of grammars takes one thread of the machine and no more.
      await before;
      return isWanted() ? await this.#find(definition) : undefined;
    } catch (error) {
      if (!(error instanceof EspalierError) || error.code !== 'REQUEST_INVALID') throw error;
      throw new EspalierError('REQUEST_INVALID', `${param}: ${error.message}${advice(error.message)}`, {
        param,
        cause: error,
      });
    } finally {
      resolve();
    }
  }

  async #find(definition: string): Promise<NativeGrammar> {
    const kept = this.#kept.get(definition);
    const found = kept ?? (await this.#grammars.compile(definition));
    this.#kept.delete(definition);
    this.#kept.set(definition, found);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_KEPT) break;
      this.#kept.delete(oldest);
    }
    return found;
  }
}

/** What to do, where the engine's reason does not say it. */
function advice(reason: string): string {
  if (reason.includes('oneOf')) return ' (alternatives of oneOf must exclude one another visibly: use anyOf)';
  if (/fuel|too (?:complex|large|big)/i.test(reason)) return ' (make it smaller)';
  return '';
}
