import { asEspalierError, assert, fail, systemClock, type Clock, type EspalierError } from '../base/index.ts';
import type { CompiledAdapter } from '../adapters/index.ts';
import { BASE_ADAPTER } from '../adapters/index.ts';
import type { BaseModel } from '../model/index.ts';
import { maskLogits } from '../grammar/index.ts';
import { BufferPool, Inference, type Floats, type GrammarProgress, type NativeGrammar } from '../numeric/index.ts';
import { checkAdapterRows } from './adapter-rows.ts';
import { checkLength, checkRequest, checkTask } from './admission-checks.ts';
import { auditCache } from './cache/audit.ts';
import { advance } from './advance.ts';
import { chooseToken, type ChosenToken } from './sampling/choose.ts';
import { execute, type LogitsRow, type ReachedSequence } from './execute.ts';
import { KvBlocks, longestSequence } from './cache/kv-blocks.ts';
import { KvCache } from './cache/kv-cache.ts';
import type { GenerateRequest, TokenEvent } from './request.ts';
import { Scheduler } from './scheduling/scheduler.ts';
import type { PlannedRows, SchedulerLimits, StepPlan } from './scheduling/step-plan.ts';
import { Sequence } from './sequence.ts';
import { NO_DRAFT } from './speculation/drafts.ts';

export interface EngineOptions extends SchedulerLimits {
  /** Tokens that the cache of keys and values holds, over all sequences and cached prefixes. */
  readonly cacheTokens: number;
  /** Tokens of a block, the unit in which the cache is taken and prefixes are shared. */
  readonly blockSize?: number;
}

export const DEFAULT_ENGINE: EngineOptions = {
  maxStepTokens: 512,
  maxSequences: 64,
  cacheTokens: 16_384,
  maxWaiting: 1024,
  maxWaitingPerTenant: 256,
  maxWaitMs: 30_000,
  maxDraftTokens: 4,
};

/** A request that ended without an answer of its own making. Nothing follows. */
export interface RequestFailure {
  readonly id: string;
  readonly error: EspalierError;
}

export interface StepOutcome {
  readonly events: readonly TokenEvent[];
  readonly failures: readonly RequestFailure[];
}

/** Counts since the engine was made, and sizes of now. */
export interface EngineCounts {
  readonly numRunning: number;
  readonly numWaiting: number;
  readonly numBlocks: number;
  /** Blocks that a sequence could take: nobody reads them. */
  readonly numFreeBlocks: number;
  /** Of those, the ones that hold a prefix which may be asked for again. */
  readonly numCachedBlocks: number;
  /** Full blocks of prompts that were in the cache when their request began, and that were not. */
  readonly prefixHits: number;
  readonly prefixMisses: number;
  readonly prefixEvictions: number;
  readonly preemptions: number;
  /** Tokens that were guessed, and those of them that were right. */
  readonly draftTokens: number;
  readonly acceptedDraftTokens: number;
}

export interface EngineParts {
  readonly clock?: Clock;
  /** Chooses a sequence's next token. */
  readonly choose?: typeof chooseToken;
}

/**
 * One base, any number of adapters, one step at a time. Synchronous: it runs on the engine worker (worker.ts), or directly in a
 * command that answers in batch.
 */
export class Engine {
  readonly base: BaseModel;
  readonly #cache: KvCache;
  readonly #scheduler: Scheduler;
  readonly #graph: Inference;
  readonly #clock: Clock;
  readonly #choose: typeof chooseToken;
  readonly #sequences = new Map<string, Sequence>();
  /** The tokens that a grammar allows, a bit each. */
  readonly #mask: Int32Array;
  readonly #longestDraft: number;
  #draftTokens = 0;
  #acceptedDraftTokens = 0;

  constructor(base: BaseModel, options: EngineOptions = DEFAULT_ENGINE, parts: EngineParts = {}) {
    this.base = base;
    this.#cache = new KvCache(new KvBlocks(base.config, options.cacheTokens, options.blockSize, base.computeDtype));
    this.#scheduler = new Scheduler(options, this.#cache);
    this.#graph = new Inference(base.kernels, new BufferPool());
    this.#clock = parts.clock ?? systemClock;
    this.#choose = parts.choose ?? chooseToken;
    this.#longestDraft = options.maxDraftTokens ?? 0;
    this.#mask = new Int32Array(Math.ceil(base.config.vocabSize / 32));
  }

  get hasWork(): boolean {
    return this.#sequences.size > 0;
  }

  get numWaiting(): number {
    return this.#scheduler.numWaiting;
  }

  /** Gives up the cached prefixes of a tenant; what its sequences read, and compute from now on, goes when they end. @returns how many blocks went */
  forget(tenant: string): number {
    for (const sequence of this.#sequences.values()) if (sequence.tenant === tenant) sequence.isForgotten = true;
    return this.#cache.prefixes.forget(tenant);
  }

  get counts(): EngineCounts {
    const { blocks, prefixes, numAvailable, numHits, numMisses } = this.#cache;
    return {
      numRunning: this.#scheduler.numRunning,
      numWaiting: this.#scheduler.numWaiting,
      numBlocks: blocks.numBlocks,
      numFreeBlocks: numAvailable,
      numCachedBlocks: prefixes.numUnused,
      prefixHits: numHits,
      prefixMisses: numMisses,
      prefixEvictions: prefixes.numEvictions,
      preemptions: this.#scheduler.numPreemptions,
      draftTokens: this.#draftTokens,
      acceptedDraftTokens: this.#acceptedDraftTokens,
    };
  }

  /**
   * @param grammar the request's, compiled over the base's vocabulary
   * @throws REQUEST_INVALID CONTEXT_TOO_LONG ADAPTER_INVALID OVERLOADED; nothing is kept then
   */
  submit(request: GenerateRequest, adapter: CompiledAdapter = BASE_ADAPTER, grammar?: NativeGrammar): void {
    assert(!this.#sequences.has(request.id), 'a request id is used once');
    checkRequest(request);
    checkAdapterRows(adapter, this.base.config);
    checkTask(request, adapter);
    const { numBlocks, blockSize } = this.#cache.blocks;
    const limit = longestSequence(this.base.config.contextLength, numBlocks * blockSize, blockSize);
    const sequence = new Sequence(request, adapter, limit, this.#longestDraft);
    checkLength(sequence.length, limit);
    sequence.constraint = grammar?.start();
    try {
      this.#scheduler.add(sequence, this.#clock.nowMs());
    } catch (error) {
      sequence.constraint?.[Symbol.dispose]();
      throw error;
    }
    this.#sequences.set(request.id, sequence);
  }

  /** Counts who holds which block, from both sides. @throws INTERNAL where they differ: for tests */
  audit(): void {
    auditCache(this.#cache, this.#sequences.values());
  }

  /** Forgets a request between two steps; unknown ids are those that have just finished. */
  cancel(id: string): void {
    const sequence = this.#sequences.get(id);
    if (sequence) this.#drop(sequence);
  }

  /** Schedule, execute, commit. What goes wrong for one request fails that request, and the others go on. */
  step(): StepOutcome {
    const { plan, givenUp } = this.#scheduler.schedule(this.#clock.nowMs());
    const failures = givenUp.map(({ sequence, error }): RequestFailure => ({ id: sequence.request.id, error }));
    for (const { sequence } of givenUp) this.#forget(sequence);
    if (plan.length === 0) {
      assert(!this.hasWork, 'while there is work, a step has rows');
      return { events: [], failures };
    }
    try {
      const reached = this.#execute(plan, failures);
      return { events: this.#commit(reached, failures), failures };
    } finally {
      this.#graph.endStep();
    }
  }

  /**
   * Runs a plan and says that its rows are computed. If it throws, its halves run by themselves (a row does not depend on its neighbours, and
   * what was written before is written again the same), down to the sequence that is the cause.
   */
  #execute(plan: StepPlan, failures: RequestFailure[]): ReachedSequence[] {
    try {
      const reached = execute(this.#graph, this.base, this.#cache.blocks, plan);
      this.#scheduler.commit(plan);
      // A request that generates nothing has reached its end without a row of logits.
      return [...reached, ...plan.filter(isRead).map(({ sequence }) => ({ sequence, draft: NO_DRAFT, rows: [] }))];
    } catch (error) {
      if (plan.length === 1) {
        this.#failed(plan[0].sequence, error, failures);
        return [];
      }
      const middle = Math.ceil(plan.length / 2);
      return [plan.slice(0, middle), plan.slice(middle)].flatMap((half) => this.#execute(half, failures));
    }
  }

  #commit(reached: readonly ReachedSequence[], failures: RequestFailure[]): TokenEvent[] {
    const events: TokenEvent[] = [];
    for (const one of reached) {
      try {
        events.push(one.rows.length > 0 ? this.#advance(one) : this.#finish(one.sequence));
      } catch (error) {
        this.#failed(one.sequence, error, failures);
      }
    }
    return events;
  }

  #advance(reached: ReachedSequence): TokenEvent {
    const { sequence, draft } = reached;
    const isFirst = sequence.numGenerated === 0;
    const { numRight, ...advanced } = advance(reached, (row) => this.#chooseFrom(row, sequence));
    if (draft.tokenIds.length > 0) {
      this.#draftTokens += draft.tokenIds.length;
      this.#acceptedDraftTokens += numRight;
      sequence.drafts?.judge(draft, numRight);
      this.#scheduler.accept(sequence, numRight);
    }
    const event: TokenEvent = {
      id: sequence.request.id,
      ...advanced,
      ...(isFirst && firstResults(sequence)),
      ...(sequence.request.predictionTokenIds && { prediction: triedOf(sequence) }),
    };
    if (advanced.finishReason) this.#drop(sequence);
    return event;
  }

  #chooseFrom({ logits_V, best }: LogitsRow, sequence: Sequence): ChosenToken {
    const { request, constraint } = sequence;
    // Before a grammar writes over them.
    if (best < 0) fail('ADAPTER_INVALID', `${request.adapter ?? 'the base'} made logits that are not numbers`);
    const restrict = constraint && ((row_V: Floats) => this.#restrict(row_V, constraint));
    return this.#choose(sequence, logits_V, best, restrict);
  }

  /** Ends a request that asked for its prompt alone. */
  #finish(sequence: Sequence): TokenEvent {
    const results = firstResults(sequence);
    this.#drop(sequence);
    return { id: sequence.request.id, tokenIds: [], finishReason: 'length', ...results };
  }

  #failed(sequence: Sequence, cause: unknown, failures: RequestFailure[]): void {
    this.#drop(sequence);
    failures.push({ id: sequence.request.id, error: asEspalierError(cause) });
  }

  /** Leaves only the tokens that the grammar allows. @throws REQUEST_INVALID when there are none */
  #restrict(logits_V: Floats, constraint: GrammarProgress): void {
    if (!constraint.mask(this.#mask)) {
      fail('REQUEST_INVALID', 'the grammar asks for a character that no token of this model spells');
    }
    maskLogits(logits_V, this.#mask);
  }

  #drop(sequence: Sequence): void {
    this.#scheduler.remove(sequence);
    this.#forget(sequence);
  }

  #forget(sequence: Sequence): void {
    sequence.constraint?.[Symbol.dispose]();
    this.#sequences.delete(sequence.request.id);
  }
}

/** Whether a request that generates nothing has its whole prompt computed. */
function isRead({ sequence: { request, numComputed, numTokens } }: PlannedRows): boolean {
  return request.maxTokens === 0 && numComputed === numTokens;
}

/** What the first event of a request carries. @throws ADAPTER_INVALID it is not of numbers */
function firstResults({
  cachedTokens,
  queuedMs,
  promptRows,
}: Sequence): Pick<TokenEvent, 'cachedTokens' | 'queuedMs' | 'promptLogprobs' | 'embedding' | 'classes'> {
  if (!promptRows) return { cachedTokens, queuedMs };
  const { logprobs, embedding, classes } = promptRows;
  return {
    cachedTokens,
    queuedMs,
    ...(logprobs && { promptLogprobs: logprobs }),
    ...(embedding && { embedding }),
    ...(classes && { classes }),
  };
}

function triedOf({ drafts }: Sequence): TokenEvent['prediction'] {
  return { numRight: drafts?.numPredictedRight ?? 0, numWrong: drafts?.numPredictedWrong ?? 0 };
}
