import { EspalierError } from '../base/index.ts';
import type { TokenEvent } from './request.ts';

type Waiting = (result: IteratorResult<TokenEvent> | EspalierError) => void;

/** The events of one request, queued until they are asked for. */
export class EventQueue {
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
