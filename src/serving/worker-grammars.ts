import { fail } from '../base/index.ts';
import { GrammarCompiler } from '../grammar/index.ts';
import { loadNativeGrammars, type NativeGrammar, type TokenBytes } from '../numeric/index.ts';
import type { AnswerGrammar } from './request.ts';

/**
 * The grammars of the engine's requests. They are compiled on another thread while steps go on, tenants in turn, so that a request can be
 * cancelled before it is submitted.
 */
export class WorkerGrammars {
  readonly #vocabulary: TokenBytes | null;
  readonly #compiling = new Map<string, AbortController>();
  #compiler: GrammarCompiler | undefined;

  constructor(vocabulary: TokenBytes | null) {
    this.#vocabulary = vocabulary;
  }

  /** Undefined when the request was cancelled meanwhile. @throws REQUEST_INVALID naming the request's field */
  async compile(
    id: string,
    { definition, param }: AnswerGrammar,
    tenant: string | null,
  ): Promise<NativeGrammar | undefined> {
    if (!this.#vocabulary) {
      fail('REQUEST_INVALID', `${param}: this model has no token that ends an answer: leave it out`, { param });
    }
    this.#compiler ??= new GrammarCompiler(loadNativeGrammars(this.#vocabulary));
    const cancelled = new AbortController();
    const { signal } = cancelled;
    this.#compiling.set(id, cancelled);
    try {
      const compiled = await this.#compiler.compile(definition, param, { tenant, signal });
      return signal.aborted ? undefined : compiled;
    } finally {
      this.#compiling.delete(id);
    }
  }

  /** Forgets a request that is still being compiled, if it is. */
  cancel(id: string): void {
    this.#compiling.get(id)?.abort();
  }
}
