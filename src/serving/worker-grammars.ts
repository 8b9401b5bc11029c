import { fail } from '../base/index.ts';
import { GrammarCompiler } from '../grammar/index.ts';
import { loadNativeGrammars, type NativeGrammar, type TokenBytes } from '../numeric/index.ts';
import type { AnswerGrammar } from './request.ts';

/**
 * The grammars of the engine's requests. They are compiled on another thread while steps go on, so that a request can be
 * cancelled before it is submitted.
 */
export class WorkerGrammars {
  readonly #vocabulary: TokenBytes | null;
  readonly #compiling = new Set<string>();
  #compiler: GrammarCompiler | undefined;

  constructor(vocabulary: TokenBytes | null) {
    this.#vocabulary = vocabulary;
  }

  /** Undefined when the request was cancelled meanwhile. @throws REQUEST_INVALID naming the request's field */
  async compile(id: string, { definition, param }: AnswerGrammar): Promise<NativeGrammar | undefined> {
    if (!this.#vocabulary) {
      fail('REQUEST_INVALID', `${param}: this model has no token that ends an answer: leave it out`, { param });
    }
    this.#compiler ??= new GrammarCompiler(loadNativeGrammars(this.#vocabulary));
    this.#compiling.add(id);
    try {
      const isWanted = (): boolean => this.#compiling.has(id);
      const compiled = await this.#compiler.compile(definition, param, isWanted);
      return isWanted() ? compiled : undefined;
    } finally {
      this.#compiling.delete(id);
    }
  }

  /** Forgets a request that is still being compiled, if it is. */
  cancel(id: string): void {
    this.#compiling.delete(id);
  }
}
