import type { Worker } from 'node:worker_threads';
import { errorMessage, EspalierError, rebuildError, systemClock, type Clock } from '../base/index.ts';
import { EventQueue } from './event-queue.ts';

import type {
  AdapterMix,
  AdapterResidence,
  AdapterSource,
  Answers,
  EngineStats,
  FromWorker,
  LoadObservation,
  Question,
  ToWorker,
  ForgetReport,
  UnloadReport,
  WorkerInit,
} from './messages.ts';
import type { GenerateRequest, TokenEvent } from './request.ts';
import { startWorker, type Ready, type Spawn } from './start-worker.ts';

/** Told of tokens when they reach this thread. */
export interface TokenObserver {
  /** @param seconds that a sequence waited in the engine's queue; known with its first token */
  onQueueWait(seconds: number): void;
  /** @param seconds since the submission */
  onFirstToken(seconds: number, hasAdapter: boolean): void;
  /** @param seconds since the token before; tokens that came together share the time */
  onNextToken(seconds: number): void;
}

export interface ClientOptions {
  readonly clock?: Clock;
  readonly observer?: TokenObserver;
  /** Makes the engine's thread. A test passes its own, so as to have the thread at hand. */
  readonly spawn?: Spawn;
  readonly onLoad?: (observation: LoadObservation) => void;
  /** The engine's thread ended by itself; `willRestart` is false when it has done so too often, or cannot start. */
  readonly onCrash?: (reason: string, willRestart: boolean) => void;
}

/** One request on its way. */
interface Flight {
  readonly events: EventQueue;
  readonly hasAdapter: boolean;
  /** When it was submitted, then when its last token came. */
  sinceMs: number;
  hasToken: boolean;
}

/** Crashes that are followed by a new start, within {@link CRASH_WINDOW_MS}; one more is the end. */
const MAX_CRASHES = 3;
const CRASH_WINDOW_MS = 10 * 60_000;

/**
 * The main thread's side of the engine. When the engine's thread dies, what it was answering fails with ENGINE_UNAVAILABLE and a new
 * thread is started, with the adapters that were pinned; after too many deaths the engine stays down, and {@link isAlive} says so.
 */
export class EngineClient implements AsyncDisposable {
  readonly #init: WorkerInit;
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #flights = new Map<string, Flight>();
  readonly #asked = new Map<number, PromiseWithResolvers<Answers[keyof Answers]>>();
  readonly #pins = new Map<string, AdapterSource>();
  readonly #crashesMs: number[] = [];
  #worker: Worker;
  #nextToken = 0;
  /** Why nothing can be asked now. */
  #unavailable: EspalierError | undefined;
  #isClosed = false;
  /** Digest of the base that answers. */
  readonly baseDigest: string;
  readonly instructionSet: string;

  private constructor(init: WorkerInit, options: ClientOptions, worker: Worker, ready: Ready) {
    this.#init = init;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#worker = worker;
    this.baseDigest = ready.baseDigest;
    this.instructionSet = ready.instructionSet;
    this.#listen(worker);
  }

  /** Starts the worker and waits until its base is mapped. @throws what opening the base throws */
  static async start(init: WorkerInit, options: ClientOptions = {}): Promise<EngineClient> {
    const { worker, ready } = await startWorker(init, options.spawn);
    return new EngineClient(init, options, worker, ready);
  }

  /**
   * The tokens of one request, as they come. When `signal` fires the sequence is freed at the next step boundary and the iteration
   * throws CANCELLED; leaving the loop early cancels too.
   */
  async *submit(
    request: GenerateRequest,
    adapter: AdapterSource | AdapterMix | null,
    signal?: AbortSignal,
  ): AsyncGenerator<TokenEvent, void, undefined> {
    if (this.#unavailable) throw this.#unavailable;
    const events = new EventQueue();
    this.#flights.set(request.id, {
      events,
      hasAdapter: adapter !== null,
      sinceMs: this.#clock.nowMs(),
      hasToken: false,
    });
    const abort = (): void => events.push(new EspalierError('CANCELLED', 'the request was cancelled'));
    let isFinished = false;
    try {
      if (signal?.aborted) abort();
      else this.#send({ type: 'submit', request, adapter });
      signal?.addEventListener('abort', abort, { once: true });
      for (let result = await events.next(); !result.done; result = await events.next()) {
        isFinished = result.value.finishReason !== null;
        yield result.value;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#flights.delete(request.id);
      if (!isFinished) this.#send({ type: 'cancel', id: request.id });
    }
  }

  /** Whether requests can be answered now. */
  get isAlive(): boolean {
    return this.#unavailable === undefined;
  }

  /** Requests whose tokens somebody reads. */
  get numInFlight(): number {
    return this.#flights.size;
  }

  stats(): Promise<EngineStats> {
    return this.#ask({ type: 'stats' });
  }

  /**
   * Loads an adapter, and keeps it in memory for its tenant until {@link unload}.
   * @throws ADAPTER_UNAVAILABLE it cannot be loaded; OVERLOADED too much is pinned already
   */
  async pin(adapter: AdapterSource): Promise<{ readonly sizeBytes: number }> {
    const answer = await this.#ask({ type: 'pin', adapter });
    this.#pins.set(pinKey(adapter), adapter);
    return answer;
  }

  /** Takes a tenant's pin off, and the adapter out of memory where nobody else has it there. */
  unload(digest: string, tenant: string | null): Promise<UnloadReport> {
    this.#pins.delete(pinKey({ digest, tenant }));
    return this.#ask({ type: 'unload', digest, tenant });
  }

  /** Takes all that a tenant has in memory away: adapters, pins, cached prefixes. What its requests use goes when they end. */
  forget(tenant: string): Promise<ForgetReport> {
    for (const [key, source] of this.#pins) if (source.tenant === tenant) this.#pins.delete(key);
    return this.#ask({ type: 'forget', tenant });
  }

  /** What is in memory for a tenant; for null, for anybody. */
  residency(tenant: string | null, limit: number): Promise<readonly AdapterResidence[]> {
    return this.#ask({ type: 'residency', tenant, limit });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#send({ type: 'close' });
    await this.#worker.terminate();
    this.#failAll(new EspalierError('CANCELLED', 'the engine was closed'));
  }

  #ask<K extends keyof Answers>(question: Question & { readonly type: K }): Promise<Answers[K]> {
    if (this.#unavailable) return Promise.reject(this.#unavailable);
    const token = this.#nextToken++;
    const asked = Promise.withResolvers<Answers[keyof Answers]>();
    this.#asked.set(token, asked);
    this.#send({ type: 'ask', token, question });
    return asked.promise as Promise<Answers[K]>;
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #listen(worker: Worker): void {
    let cause: unknown;
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (error) => (cause = error));
    worker.on('exit', (code) => {
      if (this.#isClosed) this.#failAll(new EspalierError('CANCELLED', 'the engine was closed'));
      else void this.#recover(cause === undefined ? `its thread ended with code ${code}` : errorMessage(cause));
    });
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'tokens':
        for (const event of message.events) this.#deliver(event);
        return;
      case 'failed':
        this.#flights.get(message.id)?.events.push(rebuildError(message.error));
        return;
      case 'answer':
        this.#take(message.token)?.resolve(message.answer);
        return;
      case 'refused':
        this.#take(message.token)?.reject(rebuildError(message.error));
        return;
      case 'load':
        this.#options.onLoad?.(message.observation);
        return;
      case 'ready':
      case 'start-failed':
        return;
      default:
        message satisfies never;
    }
  }

  #deliver(event: TokenEvent): void {
    const flight = this.#flights.get(event.id);
    if (!flight) return;
    const { observer } = this.#options;
    if (event.queuedMs !== undefined) observer?.onQueueWait(event.queuedMs / 1000);
    if (observer && event.tokenIds.length > 0) {
      const nowMs = this.#clock.nowMs();
      const seconds = (nowMs - flight.sinceMs) / 1000;
      const numTokens = event.tokenIds.length;
      if (!flight.hasToken) observer.onFirstToken(seconds, flight.hasAdapter);
      for (let n = flight.hasToken ? 0 : 1; n < numTokens; n++) {
        observer.onNextToken(flight.hasToken ? seconds / numTokens : 0);
      }
      flight.sinceMs = nowMs;
      flight.hasToken = true;
    }
    flight.events.push(event);
  }

  #take(token: number): PromiseWithResolvers<Answers[keyof Answers]> | undefined {
    const asked = this.#asked.get(token);
    this.#asked.delete(token);
    return asked;
  }

  /** What the dead thread was doing has failed; a new one takes over, unless it dies again and again. */
  async #recover(reason: string): Promise<void> {
    const nowMs = this.#clock.nowMs();
    this.#crashesMs.push(nowMs);
    while (nowMs - this.#crashesMs[0] > CRASH_WINDOW_MS) this.#crashesMs.shift();
    const willRestart = this.#crashesMs.length <= MAX_CRASHES;
    this.#failAll(unavailable(`the engine stopped (${reason})`, willRestart));
    this.#options.onCrash?.(reason, willRestart);
    if (!willRestart) return;
    try {
      const { worker } = await startWorker(this.#init, this.#options.spawn);
      if (this.#isClosed) {
        await worker.terminate();
        return;
      }
      this.#worker = worker;
      this.#listen(worker);
      this.#unavailable = undefined;
      // One that cannot be loaded any more fails its requests, with the reason.
      await Promise.allSettled([...this.#pins.values()].map((adapter) => this.#ask({ type: 'pin', adapter })));
    } catch (error) {
      this.#failAll(unavailable(`the engine does not start again (${errorMessage(error)})`, false));
      this.#options.onCrash?.(errorMessage(error), false);
    }
  }

  #failAll(error: EspalierError): void {
    this.#unavailable = error;
    for (const { events } of this.#flights.values()) events.push(error);
    for (const asked of this.#asked.values()) asked.reject(error);
    this.#asked.clear();
  }
}

function unavailable(what: string, willRestart: boolean): EspalierError {
  const next = willRestart ? 'it is being started again: try again in a moment' : 'the server has to be started again';
  return new EspalierError('ENGINE_UNAVAILABLE', `${what}; ${next}`);
}

function pinKey({ digest, tenant }: Pick<AdapterSource, 'digest' | 'tenant'>): string {
  return JSON.stringify([digest, tenant]);
}
