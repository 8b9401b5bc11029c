import { Worker } from 'node:worker_threads';
import { EspalierError, rebuildError } from '../../base/index.ts';
import type { CheckAnswer, CheckedData, CheckRequest } from './check-messages.ts';

interface Waiting {
  resolve(data: CheckedData): void;
  reject(error: unknown): void;
}

/** Looks at training files on a thread of its own, one after the other. The thread starts with the first. */
export class DataChecker implements AsyncDisposable {
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #isClosed = false;

  /** @throws DATA_INVALID with every line that is wrong */
  check(request: Omit<CheckRequest, 'id'>): Promise<CheckedData> {
    const id = ++this.#lastId;
    const answered = new Promise<CheckedData>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const message: CheckRequest = { id, ...request };
    this.#start().postMessage(message);
    return answered;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #start(): Worker {
    if (this.#worker) return this.#worker;
    const worker = new Worker(new URL('./check-worker.ts', import.meta.url), { execArgv: [] });
    worker.on('message', (answer: CheckAnswer) => this.#settle(answer));
    worker.on('error', (cause) => this.#end(worker, new EspalierError('INTERNAL', 'the check broke off', { cause })));
    worker.on('exit', (code) => {
      // A thread that has ended by itself: the next check starts another.
      const error = this.#isClosed
        ? new EspalierError('CANCELLED', 'the check was broken off')
        : new EspalierError('ENGINE_UNAVAILABLE', `the thread that reads files ended with code ${code}: send it again`);
      this.#end(worker, error);
    });
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #settle(answer: CheckAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('data' in answer) waiting?.resolve(answer.data);
    else waiting?.reject(rebuildError(answer.error));
  }

  #end(worker: Worker, error: EspalierError): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
