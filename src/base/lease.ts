import { assert } from './errors.ts';

/** Something in use: it cannot be evicted until every lease on it is disposed of. A lease frees itself once. */
export class Lease<T> implements Disposable {
  readonly value: T;
  #release: (() => void) | undefined;

  constructor(value: T, release: () => void) {
    this.value = value;
    this.#release = release;
  }

  [Symbol.dispose](): void {
    assert(this.#release, 'a lease is released once');
    const release = this.#release;
    this.#release = undefined;
    release();
  }
}
