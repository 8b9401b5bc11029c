import type { EspalierError } from '../../base/index.ts';
import { UNREADABLE } from '../../training/index.ts';

/** What a tenant is told of why its job starts anew, where nothing is left to go on from. */
export const NO_CHECKPOINT = 'there is no checkpoint of what it had reached';

/** The same, where there is a checkpoint and `error` tells what is wrong with it: without the details, which have paths. */
export function whyUnusable({ param }: EspalierError): string {
  return param === UNREADABLE
    ? 'its checkpoint cannot be read'
    : 'the server has changed since its checkpoint was written';
}
