import { assert, fail } from '../base/index.ts';
import type { CompiledAdapter } from '../adapters/index.ts';
import { BASE_ADAPTER } from '../adapters/index.ts';
import type { BaseModel } from '../model/index.ts';
import { BufferPool, Inference, type Floats } from '../numeric/index.ts';
import { chooseToken } from './choose.ts';
import { execute, type StepResult } from './execute.ts';
import { KvBlocks } from './kv-blocks.ts';
import type { FinishReason, GenerateRequest, TokenEvent } from './request.ts';
import { Scheduler, type StepPlan } from './scheduler.ts';
import { Sequence } from './sequence.ts';

export interface EngineOptions {
  /** Rows of one step: bounds the time of a step, so that a long prompt cannot hold up the others. */
  readonly maxStepTokens: number;
  readonly maxSequences: number;
  /** Tokens that the cache of keys and values holds, over all sequences. */
  readonly cacheTokens: number;
  /** Requests that may wait for admission; one more is refused. */
  readonly maxWaiting: number;
}

export const DEFAULT_ENGINE: EngineOptions = {
  maxStepTokens: 512,
  maxSequences: 64,
  cacheTokens: 16_384,
  maxWaiting: 256,
};

/**
 * One base, any number of adapters, one step at a time. Synchronous: it runs on the engine worker (worker.ts), or directly in a
 * command that answers in batch.
 */
export class Engine {
  readonly base: BaseModel;
  readonly #options: EngineOptions;
  readonly #blocks: KvBlocks;
  readonly #scheduler: Scheduler;
  readonly #graph: Inference;
  readonly #sequences = new Map<string, Sequence>();

  constructor(base: BaseModel, options: EngineOptions = DEFAULT_ENGINE) {
    this.base = base;
    this.#options = options;
    this.#blocks = new KvBlocks(base.config, options.cacheTokens);
    this.#scheduler = new Scheduler(options, this.#blocks);
    this.#graph = new Inference(base.kernels, new BufferPool());
  }

  get hasWork(): boolean {
    return this.#sequences.size > 0;
  }

  get numWaiting(): number {
    return this.#scheduler.numWaiting;
  }

  get numRunning(): number {
    return this.#scheduler.numRunning;
  }

  get numFreeBlocks(): number {
    return this.#blocks.numFree;
  }

  get numBlocks(): number {
    return this.#blocks.numBlocks;
  }

  /** @throws CONTEXT_TOO_LONG OVERLOADED */
  submit(request: GenerateRequest, adapter: CompiledAdapter = BASE_ADAPTER): void {
    assert(!this.#sequences.has(request.id), 'a request id is used once');
    const { contextLength } = this.base.config;
    const limit = Math.min(contextLength, this.#blocks.numBlocks * this.#blocks.blockSize);
    const sequence = new Sequence(request, adapter, limit);
    if (request.promptTokenIds.length === 0) fail('REQUEST_INVALID', 'the prompt has no tokens', { param: 'messages' });
    const numNeeded = request.promptTokenIds.length + (request.maxTokens ?? 1);
    if (numNeeded > contextLength || !this.#scheduler.canEverHold(numNeeded)) {
      fail(
        'CONTEXT_TOO_LONG',
        `the prompt has ${request.promptTokenIds.length} tokens and max_tokens is ${request.maxTokens}: together more than the ${limit} of this server`,
        { param: 'messages' },
      );
    }
    if (this.#scheduler.numWaiting >= this.#options.maxWaiting) {
      fail('OVERLOADED', `${this.#scheduler.numWaiting} requests are waiting already: try again later`);
    }
    this.#sequences.set(request.id, sequence);
    this.#scheduler.add(sequence);
  }

  /** Forgets a request between two steps; unknown ids are those that have just finished. */
  cancel(id: string): void {
    const sequence = this.#sequences.get(id);
    if (sequence) this.#drop(sequence);
  }

  /** Schedule, execute, commit. */
  step(): TokenEvent[] {
    const plan = this.#scheduler.schedule();
    if (plan.length === 0) return [];
    const result = execute(this.#graph, this.base, this.#blocks, plan);
    const events = this.#commit(plan, result);
    this.#graph.endStep();
    return events;
  }

  #commit(plan: StepPlan, result: StepResult): TokenEvent[] {
    for (const { sequence, numNew } of plan) sequence.numComputed += numNew;
    const read = plan.map(({ sequence }) => sequence).filter((sequence) => isRead(sequence));
    return [
      ...result.sequences.map((sequence, n) => this.#advance(sequence, result.logits[n])),
      ...read.map((sequence) => this.#finish(sequence)),
    ];
  }

  #advance(sequence: Sequence, logits_V: Floats): TokenEvent {
    const { request } = sequence;
    const isFirst = sequence.numGenerated === 0;
    const { id, logprob } = chooseToken(sequence, logits_V);
    const isStop = request.stopTokenIds.includes(id);
    if (!isStop) sequence.tokenIds.push(id);
    const isFull = sequence.numTokens >= sequence.maxTokens;
    const finishReason: FinishReason | null = isStop ? 'stop' : isFull ? 'length' : null;
    if (finishReason) this.#drop(sequence);
    return {
      id: request.id,
      tokenIds: isStop ? [] : [id],
      finishReason,
      ...(logprob && { logprobs: isStop ? [] : [logprob] }),
      ...(isFirst && promptResults(sequence)),
    };
  }

  /** Ends a request that asked for its prompt alone. */
  #finish(sequence: Sequence): TokenEvent {
    this.#drop(sequence);
    return { id: sequence.request.id, tokenIds: [], finishReason: 'length', ...promptResults(sequence) };
  }

  #drop(sequence: Sequence): void {
    this.#scheduler.remove(sequence);
    this.#sequences.delete(sequence.request.id);
  }
}

/** Whether a request that generates nothing has its whole prompt computed. */
function isRead({ request, numComputed, numTokens }: Sequence): boolean {
  return request.maxTokens === 0 && numComputed === numTokens;
}

function promptResults({ promptRows }: Sequence): Pick<TokenEvent, 'promptLogprobs' | 'embedding'> {
  if (!promptRows) return {};
  const { logprobs, embedding } = promptRows;
  return { ...(logprobs && { promptLogprobs: logprobs }), ...(embedding && { embedding }) };
}
