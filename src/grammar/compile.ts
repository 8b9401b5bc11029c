import type { NativeGrammar, NativeGrammars } from '../numeric/index.ts';
import { EspalierError, TurnQueue } from '../base/index.ts';

/** Grammars that are kept compiled: a service asks for the same few shapes again and again. */
const MAX_KEPT = 32;

/** On whose behalf a grammar is compiled. */
export interface Asker {
  readonly tenant: string | null;
  /** Whoever gives up waits no more; what is being compiled goes on. */
  readonly signal?: AbortSignal;
}

interface Turn {
  begin(): void;
}

/**
 * Compiles grammars for one vocabulary, one at a time and off this thread, tenants in turn, and keeps those used last.
 * What is kept is immutable: whether it was kept or made anew cannot be seen in an answer.
 */
export class GrammarCompiler {
  readonly #grammars: NativeGrammars;
  /** In the order of their last use, with the tenant whose that was. */
  readonly #kept = new Map<string, { readonly grammar: NativeGrammar; readonly tenant: string | null }>();
  readonly #waiting = new TurnQueue<Turn>();
  #isCompiling = false;

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
   * @param asker the operator, unless told
   * @returns undefined when its asker has given up before its turn came
   * @throws REQUEST_INVALID when the grammar is wrong, asks for what cannot be enforced, or is too much work
   */
  compile(definition: string, param: string): Promise<NativeGrammar>;
  compile(definition: string, param: string, asker: Asker): Promise<NativeGrammar | undefined>;
  async compile(
    definition: string,
    param: string,
    asker: Asker = { tenant: null },
  ): Promise<NativeGrammar | undefined> {
    // What is there waits for nobody's work.
    if (this.#kept.has(definition)) return this.#find(definition, asker);
    // One at a time: a flood of grammars takes one thread of the machine and no more.
    if (!(await this.#turnOf(asker))) return undefined;
    try {
      return await this.#find(definition, asker);
    } catch (error) {
      if (!(error instanceof EspalierError) || error.code !== 'REQUEST_INVALID') throw error;
      throw new EspalierError('REQUEST_INVALID', `${param}: ${error.message}${advice(error.message)}`, {
        param,
        cause: error,
      });
    } finally {
      this.#isCompiling = false;
      this.#beginNext();
    }
  }

  /** @returns whether it has come; false: whoever waited for it has given up, and holds nobody up */
  #turnOf({ tenant, signal }: Asker): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = (): void => {
        this.#waiting.remove(turn);
        resolve(false);
      };
      const turn: Turn = {
        begin() {
          signal?.removeEventListener('abort', giveUp);
          resolve(true);
        },
      };
      if (signal?.aborted) {
        resolve(false);
        return;
      }
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(tenant, turn);
      this.#beginNext();
    });
  }

  #beginNext(): void {
    const [next] = this.#isCompiling ? [] : this.#waiting.heads();
    if (!next) return;
    this.#waiting.take(next.tenant, next.item);
    this.#isCompiling = true;
    next.item.begin();
  }

  async #find(definition: string, { tenant }: Asker): Promise<NativeGrammar> {
    const kept = this.#kept.get(definition);
    const grammar = kept?.grammar ?? (await this.#grammars.compile(definition));
    this.#kept.delete(definition);
    this.#kept.set(definition, { grammar, tenant });
    if (this.#kept.size > MAX_KEPT) this.#forgetOne();
    return grammar;
  }

  /** The oldest of the tenant that has the most: one's flood leaves the others theirs. */
  #forgetOne(): void {
    const counts = new Map<string | null, number>();
    for (const { tenant } of this.#kept.values()) counts.set(tenant, (counts.get(tenant) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const [definition, { tenant }] of this.#kept) {
      if (counts.get(tenant) !== most) continue;
      this.#kept.delete(definition);
      return;
    }
  }
}

/** What to do, where the engine's reason does not say it. */
function advice(reason: string): string {
  if (reason.includes('oneOf')) return ' (alternatives of oneOf must exclude one another visibly: use anyOf)';
  if (/fuel|too (?:complex|large|big)/i.test(reason)) return ' (make it smaller)';
  return '';
}
