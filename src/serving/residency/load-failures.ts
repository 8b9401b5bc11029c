import { EspalierError, type Clock } from '../../base/index.ts';
import type { AdapterSource } from '../messages.ts';

export interface LoadFailure {
  readonly error: EspalierError;
  readonly tenant: string | null;
  readonly numAttempts: number;
  /** Of the monotonic clock. */
  readonly retryAtMs: number;
}

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;
/** What took the memory may take it still. */
const CROWDED_RETRY_MS = 10_000;
/** More are not remembered: the oldest is tried again early. */
const MAX_FAILURES = 1_024;

/** Adapters that could not be loaded, each with a time to retry that doubles from a second to a minute. */
export class LoadFailures {
  readonly #clock: Clock;
  /** In the order of their failing. */
  readonly #failures = new Map<string, LoadFailure>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#failures.size;
  }

  /** Why a load would fail now; undefined when it is to be tried. */
  check(digest: string): EspalierError | undefined {
    const failure = this.#failures.get(digest);
    return failure && this.#clock.nowMs() < failure.retryAtMs ? failure.error : undefined;
  }

  remember({ digest, tenant }: AdapterSource, error: EspalierError): void {
    const numAttempts = (this.#failures.get(digest)?.numAttempts ?? 0) + 1;
    const retryInMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (numAttempts - 1));
    this.#failures.delete(digest);
    this.#failures.set(digest, { error, tenant, numAttempts, retryAtMs: this.#clock.nowMs() + retryInMs });
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= MAX_FAILURES) break;
      this.#failures.delete(oldest);
    }
  }

  forget(digest: string): void {
    this.#failures.delete(digest);
  }

  entries(): Iterable<readonly [digest: string, LoadFailure]> {
    return this.#failures;
  }
}

export function tooLarge(sizeBytes: number, roomBytes: number): EspalierError {
  const message = `the adapter takes ${sizeBytes} bytes of memory and this server has ${roomBytes} for adapters that come and go`;
  return new EspalierError('ADAPTER_UNAVAILABLE', message, { param: 'model' });
}

/** An adapter for which what others use has left no room. */
export function crowdedOut(waitedMs: number): EspalierError {
  const message = `the memory for adapters was in use for ${Math.round(waitedMs / 1000)} s: try again later`;
  return new EspalierError('OVERLOADED', message, { retryAfterMs: CROWDED_RETRY_MS });
}

export function unloadedMeanwhile(): EspalierError {
  return new EspalierError('CANCELLED', 'the adapter was unloaded while it was being loaded');
}

/** Why an adapter cannot be served, without the paths of this machine. */
export function unavailable({ digest, directory }: AdapterSource, error: EspalierError): EspalierError {
  const reason = error.message.replaceAll(directory, 'its folder');
  return new EspalierError('ADAPTER_UNAVAILABLE', `the adapter ${digest} cannot be served: ${reason}`, {
    param: 'model',
    cause: error,
  });
}
