import { EspalierError } from '../../base/index.ts';
import type { Sequence } from '../sequence.ts';

/** Whether the answer should have begun by now: a deadline fails what has not begun, and never cuts what has. */
export function isLate({ request: { deadlineMs }, numGenerated, arrivedMs }: Sequence, nowMs: number): boolean {
  return deadlineMs !== undefined && numGenerated === 0 && nowMs - arrivedMs >= deadlineMs;
}

/** @param why the answer has not begun */
export function deadlineExceeded(why: string): EspalierError {
  return new EspalierError('DEADLINE_EXCEEDED', `the answer had not begun by the request's deadline (timeout): ${why}`);
}
