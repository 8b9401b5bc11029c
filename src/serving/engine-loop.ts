import type { CompiledAdapter } from '../adapters/index.ts';
import { remoteError, systemClock, type Clock, type Lease } from '../base/index.ts';
import type { NativeGrammar } from '../numeric/index.ts';
import { AdapterAdmission, type Admitted } from './residency/adapter-admission.ts';
import { RequestWaits, type WaitLimits } from './request-waits.ts';
import { BeginDeadlines } from './begin-deadlines.ts';
import type { Engine } from './engine.ts';
import {
  type AdapterMix,
  type AdapterSource,
  type Answers,
  type EngineStats,
  type FromWorker,
  type Question,
  type ToWorker,
} from './messages.ts';
import type { GenerateRequest } from './request.ts';
import type { AdapterResidency } from './residency/residency.ts';
import type { WorkerGrammars } from './worker-grammars.ts';

interface LoopOptions {
  /** To the main thread. */
  readonly send: (message: FromWorker) => void;
  /** Runs a step later, after the messages that have come in meanwhile. */
  readonly schedule: (step: () => void) => void;
  /** How many requests may wait for their adapters, and how many for their grammars. */
  readonly limits: WaitLimits;
  readonly grammars: Pick<WorkerGrammars, 'compile' | 'cancel'>;
  readonly clock?: Clock;
}

/**
 * What the engine's thread does: takes messages, gets each request its adapter, and steps while there is work. A request whose adapter
 * is not ready waits here and not in the engine, so that everybody else's steps go on; its adapter is loaded meanwhile, also when there
 * is no place in the batch yet.
 */
export class EngineLoop {
  readonly #engine: Engine;
  readonly #residency: AdapterResidency;
  readonly #admission: AdapterAdmission;
  readonly #options: LoopOptions;
  /** Of the requests that the engine has. */
  readonly #leases = new Map<string, readonly Lease<CompiledAdapter>[]>();
  readonly #forAdapters: RequestWaits;
  readonly #forGrammars: RequestWaits;
  readonly #deadlines: BeginDeadlines;
  #isStepping = false;
  #steps = 0;
  #generatedTokens = 0;
  #promptTokens = 0;

  constructor(engine: Engine, residency: AdapterResidency, options: LoopOptions) {
    this.#engine = engine;
    this.#residency = residency;
    this.#admission = new AdapterAdmission(residency);
    this.#options = options;
    this.#forAdapters = new RequestWaits('adapters', options.limits);
    this.#forGrammars = new RequestWaits('grammars', options.limits);
    this.#deadlines = new BeginDeadlines(options.clock ?? systemClock);
  }

  receive(message: Exclude<ToWorker, { readonly type: 'close' }>): void {
    switch (message.type) {
      case 'submit':
        this.#submit(message.request, message.adapter);
        return;
      case 'cancel':
        this.#cancel(message.id);
        return;
      case 'ask':
        this.#answer(message.token, message.question);
        return;
      default:
        message satisfies never;
    }
  }

  #cancel(id: string): void {
    this.#deadlines.forget(id);
    this.#forAdapters.take(id)?.cancel();
    this.#forGrammars.take(id)?.cancel();
    this.#engine.cancel(id);
    this.#release(id);
  }

  #submit(request: GenerateRequest, adapter: AdapterSource | AdapterMix | null): void {
    const { id } = request;
    const tenant = request.tenant ?? null;
    const mustWait = adapter && !this.#admission.isReady(adapter);
    const refusal = mustWait ? this.#forAdapters.refusalFor(tenant) : undefined;
    if (refusal) {
      this.#fail(id, refusal);
      return;
    }
    this.#deadlines.watch(request, (error) => {
      this.#cancel(id);
      this.#fail(id, error);
    });
    const ticket = this.#admission.admit(adapter, {
      onReady: (admitted) => this.#begin(request, admitted),
      onFailed: (error) => this.#fail(id, error),
    });
    if (ticket?.isPending) this.#forAdapters.add(id, tenant, ticket);
  }

  /** The adapter is there; a grammar is compiled now, off this thread. */
  #begin(request: GenerateRequest, { adapter, leases }: Admitted): void {
    const { id, grammar } = request;
    this.#forAdapters.take(id);
    this.#leases.set(id, leases);
    if (!grammar) {
      this.#start(request, adapter, undefined);
      return;
    }
    const { grammars } = this.#options;
    const tenant = request.tenant ?? null;
    const refusal = this.#forGrammars.refusalFor(tenant);
    if (refusal) {
      this.#release(id);
      this.#fail(id, refusal);
      return;
    }
    this.#forGrammars.add(id, tenant, { cancel: () => grammars.cancel(id) });
    grammars.compile(id, grammar, tenant).then(
      (compiled) => {
        this.#forGrammars.take(id);
        if (compiled) this.#start(request, adapter, compiled);
      },
      (error: unknown) => {
        this.#release(id);
        this.#fail(id, error);
      },
    );
  }

  #start(request: GenerateRequest, adapter: CompiledAdapter, grammar: NativeGrammar | undefined): void {
    const { id } = request;
    try {
      this.#engine.submit(this.#deadlines.begin(request), adapter, grammar);
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
    const { events, failures } = this.#engine.step();
    this.#steps++;
    for (const event of events) {
      this.#generatedTokens += event.tokenIds.length;
      if (event.finishReason) this.#release(event.id);
    }
    for (const { id, error } of failures) {
      this.#release(id);
      this.#fail(id, error);
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
      case 'forget':
        reply({
          ...this.#residency.forget(question.tenant),
          cacheBlocks: this.#engine.forget(question.tenant),
        });
        return;
      case 'residency':
        reply(this.#residency.list(question.tenant, question.limit));
        return;
      default:
        question satisfies never;
    }
  }

  #stats(): EngineStats {
    const { counts } = this.#engine;
    return {
      numRunning: counts.numRunning,
      numWaiting: counts.numWaiting,
      numWaitingForAdapter: this.#forAdapters.size,
      cacheBlocks: counts.numBlocks,
      cacheBlocksFree: counts.numFreeBlocks,
      cacheBlocksCached: counts.numCachedBlocks,
      prefixHits: counts.prefixHits,
      prefixMisses: counts.prefixMisses,
      prefixEvictions: counts.prefixEvictions,
      preemptions: counts.preemptions,
      draftTokens: counts.draftTokens,
      acceptedDraftTokens: counts.acceptedDraftTokens,
      residency: this.#residency.stats(),
      steps: this.#steps,
      generatedTokens: this.#generatedTokens,
      promptTokens: this.#promptTokens,
    };
  }

  #fail(id: string, error: unknown): void {
    this.#forAdapters.take(id);
    this.#forGrammars.take(id);
    this.#deadlines.forget(id);
    this.#options.send({ type: 'failed', id, error: remoteError(error) });
  }

  #release(id: string): void {
    const leases = this.#leases.get(id) ?? [];
    this.#leases.delete(id);
    for (const lease of leases) lease[Symbol.dispose]();
  }
}
