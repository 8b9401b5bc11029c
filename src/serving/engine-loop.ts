import { BASE_ADAPTER, type CompiledAdapter } from '../adapters/index.ts';
import { EspalierError, type Lease } from '../base/index.ts';
import type { Engine } from './engine.ts';
import {
  remoteError,
  type AdapterSource,
  type Answers,
  type EngineStats,
  type FromWorker,
  type Question,
  type ToWorker,
} from './messages.ts';
import type { GenerateRequest } from './request.ts';
import type { AdapterResidency } from './residency.ts';
import type { Ticket } from './slot.ts';

interface LoopOptions {
  /** To the main thread. */
  readonly send: (message: FromWorker) => void;
  /** Runs a step later, after the messages that have come in meanwhile. */
  readonly schedule: (step: () => void) => void;
  /** Requests that may wait for their adapters; one more is refused. */
  readonly maxWaiting: number;
}

/**
 * What the engine's thread does: takes messages, gets each request its adapter, and steps while there is work. A request whose adapter
 * is not ready waits here and not in the engine, so that everybody else's steps go on; its adapter is loaded meanwhile, also when there
 * is no place in the batch yet.
 */
export class EngineLoop {
  readonly #engine: Engine;
  readonly #residency: AdapterResidency;
  readonly #options: LoopOptions;
  /** Of the requests that the engine has. */
  readonly #leases = new Map<string, Lease<CompiledAdapter>>();
  /** Of the requests that wait for their adapters. */
  readonly #tickets = new Map<string, Ticket>();
  #isStepping = false;
  #steps = 0;
  #generatedTokens = 0;
  #promptTokens = 0;

  constructor(engine: Engine, residency: AdapterResidency, options: LoopOptions) {
    this.#engine = engine;
    this.#residency = residency;
    this.#options = options;
  }

  receive(message: Exclude<ToWorker, { readonly type: 'close' }>): void {
    switch (message.type) {
      case 'submit':
        this.#submit(message.request, message.adapter);
        return;
      case 'cancel':
        this.#tickets.get(message.id)?.cancel();
        this.#tickets.delete(message.id);
        this.#engine.cancel(message.id);
        this.#release(message.id);
        return;
      case 'ask':
        this.#answer(message.token, message.question);
        return;
      default:
        message satisfies never;
    }
  }

  #submit(request: GenerateRequest, source: AdapterSource | null): void {
    const { id } = request;
    if (!source) {
      this.#admit(request, undefined);
      return;
    }
    if (this.#tickets.size >= this.#options.maxWaiting) {
      const message = `${this.#tickets.size} requests wait for their adapters already: try again later`;
      this.#fail(id, new EspalierError('OVERLOADED', message));
      return;
    }
    const ticket = this.#residency.acquire(source, {
      onReady: (lease) => this.#admit(request, lease),
      onFailed: (error) => this.#fail(id, error),
    });
    if (ticket.isPending) this.#tickets.set(id, ticket);
  }

  #admit(request: GenerateRequest, lease: Lease<CompiledAdapter> | undefined): void {
    const { id } = request;
    this.#tickets.delete(id);
    if (lease) this.#leases.set(id, lease);
    try {
      this.#engine.submit(request, lease?.value ?? BASE_ADAPTER);
    } catch (error) {
      this.#release(id);
      this.#fail(id, error);
      return;
    }
    this.#promptTokens += request.promptTokenIds.length;
    if (this.#isStepping) return;
    this.#isStepping = true;
    this.#options.schedule(this.#step);
  }

  readonly #step = (): void => {
    const events = this.#engine.step();
    this.#steps++;
    for (const event of events) {
      this.#generatedTokens += event.tokenIds.length;
      if (event.finishReason) this.#release(event.id);
    }
    if (events.length > 0) this.#options.send({ type: 'tokens', events });
    this.#isStepping = this.#engine.hasWork;
    if (this.#isStepping) this.#options.schedule(this.#step);
  };

  #answer(token: number, question: Question): void {
    const reply = (answer: Answers[keyof Answers]): void => this.#options.send({ type: 'answer', token, answer });
    switch (question.type) {
      case 'stats':
        reply(this.#stats());
        return;
      case 'pin':
        this.#residency.pin(
          question.adapter,
          (sizeBytes) => reply({ sizeBytes }),
          (error) => this.#options.send({ type: 'refused', token, error: remoteError(error) }),
        );
        return;
      case 'unload':
        reply(this.#residency.unload(question.digest, question.tenant));
        return;
      case 'residency':
        reply(this.#residency.list(question.tenant, question.limit));
        return;
      default:
        question satisfies never;
    }
  }

  #stats(): EngineStats {
    return {
      numRunning: this.#engine.numRunning,
      numWaiting: this.#engine.numWaiting,
      numWaitingForAdapter: this.#tickets.size,
      cacheBlocks: this.#engine.numBlocks,
      cacheBlocksFree: this.#engine.numFreeBlocks,
      residency: this.#residency.stats(),
      steps: this.#steps,
      generatedTokens: this.#generatedTokens,
      promptTokens: this.#promptTokens,
    };
  }

  #fail(id: string, error: unknown): void {
    this.#tickets.delete(id);
    this.#options.send({ type: 'failed', id, error: remoteError(error) });
  }

  #release(id: string): void {
    this.#leases.get(id)?.[Symbol.dispose]();
    this.#leases.delete(id);
  }
}
