import type { Clock, EspalierError } from '../base/index.ts';
import type { GenerateRequest } from './request.ts';
import { deadlineExceeded } from './scheduling/deadline.ts';

interface Watched {
  readonly sinceMs: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Deadlines of requests that the engine does not have yet, because they wait for their adapter or their grammar. The time that passes here is
 * a part of the request's, so the engine gets what is left of it.
 */
export class BeginDeadlines {
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Requests that are watched. */
  get size(): number {
    return this.#watched.size;
  }

  /** @param onLate called once when the deadline passes before {@link begin} or {@link forget} */
  watch({ id, deadlineMs }: GenerateRequest, onLate: (error: EspalierError) => void): void {
    if (deadlineMs === undefined) return;
    const late = (): void => {
      this.#watched.delete(id);
      onLate(deadlineExceeded('its adapter or its grammar was not ready'));
    };
    this.#watched.set(id, { sinceMs: this.#clock.nowMs(), timer: setTimeout(late, deadlineMs) });
  }

  /** The engine takes the request: with what is left of its time. */
  begin(request: GenerateRequest): GenerateRequest {
    const watched = this.#watched.get(request.id);
    if (!watched || request.deadlineMs === undefined) return request;
    this.forget(request.id);
    const leftMs = Math.max(0, request.deadlineMs - (this.#clock.nowMs() - watched.sinceMs));
    return { ...request, deadlineMs: leftMs };
  }

  forget(id: string): void {
    clearTimeout(this.#watched.get(id)?.timer);
    this.#watched.delete(id);
  }
}
