import { EspalierError } from '../../base/index.ts';
import type { Sequence } from '../sequence.ts';

/** A request whose answer has to begin by a deadline fails there; one that has begun is never cut. */

export function isLate({ request: { deadlineMs }, numGenerated, arrivedMs }: Sequence, nowMs: number): boolean {
  return deadlineMs !== undefined && numGenerated === 0 && nowMs - arrivedMs >= deadlineMs;
}

/** @param why the answer has not begun */
export function deadlineExceeded(why: string): EspalierError {
  return new EspalierError('DEADLINE_EXCEEDED', `the answer had not begun by the request's deadline (timeout): ${why}`);
}
