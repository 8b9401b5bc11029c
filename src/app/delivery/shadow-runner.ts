import { Lease } from '../../base/index.ts';

/** A request to be asked of a shadow. */
export interface ShadowTask {
  /** Asks and compares; what comes of it, a failure too, is recorded there. Rejects only when `signal` has ended it. */
  run(signal: AbortSignal): Promise<void>;
  /** There was no time for it. */
  skip(): void;
}

/** Requests that wait for a quiet moment. */
const MAX_WAITING = 64;
/** How often one is begun anew after a client's request has ended it. */
const MAX_TRIES = 3;

interface Waiting {
  readonly task: ShadowTask;
  numTries: number;
}

/**
 * Asks shadows when nobody else asks: one at a time, begun only while no client's request is being answered, and ended, to be begun again
 * later, when one comes. So a client waits for a shadow's step that is on its way, at most.
 */
export class ShadowRunner implements Disposable {
  readonly #waiting: Waiting[] = [];
  #numClients = 0;
  #running: AbortController | undefined;
  #isClosed = false;
  readonly #onFailure: (error: unknown) => void;

  /** @param onFailure told of what went wrong beside a shadow’s answer, as when it could not be recorded */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** A client's request is being answered until the lease is disposed of. */
  client(): Disposable {
    this.#numClients++;
    this.#running?.abort();
    return new Lease(undefined, () => {
      this.#numClients--;
      this.#wake();
    });
  }

  /** With too many waiting, the oldest is left out: what is asked now says more. */
  submit(task: ShadowTask): void {
    if (this.#waiting.length >= MAX_WAITING) this.#waiting.shift()?.task.skip();
    this.#waiting.push({ task, numTries: 0 });
    this.#wake();
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#running?.abort();
    for (const { task } of this.#waiting.splice(0)) task.skip();
  }

  #wake(): void {
    if (this.#isClosed || this.#running || this.#numClients > 0) return;
    const next = this.#waiting.shift();
    if (next) void this.#run(next);
  }

  async #run(waiting: Waiting): Promise<void> {
    const running = new AbortController();
    this.#running = running;
    try {
      await waiting.task.run(running.signal);
    } catch (error) {
      if (!running.signal.aborted) this.#onFailure(error);
      else if (this.#isClosed || ++waiting.numTries >= MAX_TRIES) waiting.task.skip();
      else this.#waiting.unshift(waiting);
    } finally {
      this.#running = undefined;
      this.#wake();
    }
  }
}
