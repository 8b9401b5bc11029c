import { Worker } from 'node:worker_threads';
import { EspalierError } from '../base/index.ts';
import type {
  AdapterMix,
  AdapterSource,
  EngineStats,
  FromWorker,
  RemoteError,
  ToWorker,
  WorkerInit,
} from './messages.ts';
import type { GenerateRequest, TokenEvent } from './request.ts';

type Waiting = (result: IteratorResult<TokenEvent> | EspalierError) => void;

/** The events of one request, queued until they are asked for. */
class EventQueue {
  readonly #ready: (TokenEvent | EspalierError)[] = [];
  #waiting: Waiting | undefined;
  #isEnded = false;

  push(item: TokenEvent | EspalierError): void {
    if (this.#isEnded) return;
    if (item instanceof EspalierError || item.finishReason) this.#isEnded = true;
    const waiting = this.#waiting;
    if (!waiting) {
      this.#ready.push(item);
      return;
    }
    this.#waiting = undefined;
    waiting(item instanceof EspalierError ? item : { done: false, value: item });
  }

  next(): Promise<IteratorResult<TokenEvent>> {
    const item = this.#ready.shift();
    if (item instanceof EspalierError) return Promise.reject(item);
    if (item) return Promise.resolve({ done: false, value: item });
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting = (result) => (result instanceof EspalierError ? reject(result) : resolve(result));
    });
  }
}

/** The main thread's side of the engine worker. */
export class EngineClient implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #queues = new Map<string, EventQueue>();
  readonly #stats = new Map<number, PromiseWithResolvers<EngineStats>>();
  #nextToken = 0;
  #failure: EspalierError | undefined;
  /** Digest of the base that answers. */
  readonly baseDigest: string;
  readonly instructionSet: string;

  private constructor(worker: Worker, ready: { baseDigest: string; instructionSet: string }) {
    this.#worker = worker;
    this.baseDigest = ready.baseDigest;
    this.instructionSet = ready.instructionSet;
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (error) => this.#failAll(new EspalierError('INTERNAL', 'the engine stopped', { cause: error })));
    worker.on('exit', () => this.#failAll(new EspalierError('CANCELLED', 'the engine was closed')));
  }

  /** Starts the worker and waits until its base is mapped. @throws what opening the base throws */
  static async start(init: WorkerInit): Promise<EngineClient> {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: init });
    const first = await new Promise<FromWorker>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    if (first.type === 'ready') return new EngineClient(worker, first);
    await worker.terminate();
    throw first.type === 'start-failed'
      ? rebuild(first.error)
      : new EspalierError('INTERNAL', 'the engine did not start');
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
    if (this.#failure) throw this.#failure;
    const queue = new EventQueue();
    this.#queues.set(request.id, queue);
    const abort = (): void => queue.push(new EspalierError('CANCELLED', 'the request was cancelled'));
    let isFinished = false;
    try {
      if (signal?.aborted) abort();
      else this.#send({ type: 'submit', request, adapter });
      signal?.addEventListener('abort', abort, { once: true });
      for (let result = await queue.next(); !result.done; result = await queue.next()) {
        isFinished = result.value.finishReason !== null;
        yield result.value;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#queues.delete(request.id);
      if (!isFinished) this.#send({ type: 'cancel', id: request.id });
    }
  }

  /** Whether requests can be answered. */
  get isAlive(): boolean {
    return this.#failure === undefined;
  }

  stats(): Promise<EngineStats> {
    if (this.#failure) return Promise.reject(this.#failure);
    const token = this.#nextToken++;
    const asked = Promise.withResolvers<EngineStats>();
    this.#stats.set(token, asked);
    this.#send({ type: 'stats', token });
    return asked.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#send({ type: 'close' });
    await this.#worker.terminate();
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'tokens':
        for (const event of message.events) this.#queues.get(event.id)?.push(event);
        return;
      case 'failed':
        this.#queues.get(message.id)?.push(rebuild(message.error));
        return;
      case 'stats':
        this.#stats.get(message.token)?.resolve(message.stats);
        this.#stats.delete(message.token);
        return;
      case 'ready':
      case 'start-failed':
        return;
      default:
        message satisfies never;
    }
  }

  #failAll(error: EspalierError): void {
    this.#failure ??= error;
    for (const queue of this.#queues.values()) queue.push(error);
    for (const asked of this.#stats.values()) asked.reject(error);
    this.#stats.clear();
  }
}

function rebuild({ code, message, param, retryAfterMs }: RemoteError): EspalierError {
  return new EspalierError(code, message, {
    ...(param !== undefined && { param }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
