/** Answers of the tiny random base that follow a grammar. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BASE_ADAPTER } from '../../src/adapters/index.ts';
import { engineForm, GrammarCompiler, type Grammar } from '../../src/grammar/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeGrammars, loadNativeKernels, type NativeGrammar } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine, type FinishReason, type SamplingParams } from '../../src/serving/index.ts';
import { openTokenizer, vocabularyBytes } from '../../src/text/index.ts';
import { writeTinyBase } from './tiny-base.ts';

export interface ConstrainedRequest {
  readonly prompt: string;
  /** Undefined: any text. */
  readonly grammar: NativeGrammar | undefined;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
}

export interface ConstrainedAnswer {
  readonly tokenIds: readonly number[];
  readonly text: string;
  readonly finishReason: FinishReason | null;
}

/** The tiny base with its tokenizer and the grammars of its vocabulary. */
export class ConstrainedBase implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'constrained-'));
  readonly tokenizer;
  readonly #base;
  readonly #compiler: GrammarCompiler;
  /** Sequences that lost their blocks, ever. */
  numPreemptions = 0;

  constructor() {
    writeTinyBase(this.#folder, { contextLength: 1024 });
    this.#base = loadBase(this.#folder, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');
    this.tokenizer = openTokenizer(this.#folder);
    const bytes = vocabularyBytes(this.tokenizer, this.#base.config.vocabSize);
    this.#compiler = new GrammarCompiler(loadNativeGrammars(bytes));
  }

  compile(grammar: Grammar): Promise<NativeGrammar> {
    return this.#compiler.compile(engineForm(grammar, 'test'), 'test');
  }

  /** Answers all at once, `maxSequences` in one batch. */
  answer(
    requests: readonly ConstrainedRequest[],
    maxSequences = 16,
    cacheTokens = DEFAULT_ENGINE.cacheTokens,
  ): ConstrainedAnswer[] {
    const engine = new Engine(this.#base, {
      ...DEFAULT_ENGINE,
      maxSequences,
      cacheTokens,
      maxWaiting: requests.length,
      maxWaitingPerTenant: requests.length,
    });
    const tokenIds = requests.map((): number[] => []);
    const reasons = requests.map((): FinishReason | null => null);
    for (const [index, { prompt, grammar, sampling, maxTokens }] of requests.entries()) {
      const request = {
        id: String(index),
        promptTokenIds: this.tokenizer.encode(prompt, { allowSpecial: true }),
        adapter: null,
        maxTokens,
        stopTokenIds: this.tokenizer.eosIds,
        sampling,
      };
      engine.submit(request, BASE_ADAPTER, grammar);
    }
    while (engine.hasWork) {
      const { events, failures } = engine.step();
      for (const { error } of failures) throw error;
      for (const event of events) {
        tokenIds[Number(event.id)].push(...event.tokenIds);
        reasons[Number(event.id)] = event.finishReason;
      }
    }
    this.numPreemptions += engine.counts.preemptions;
    return tokenIds.map((ids, index) => ({
      tokenIds: ids,
      text: this.tokenizer.decode(ids, { skipSpecial: true }),
      finishReason: reasons[index],
    }));
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}
