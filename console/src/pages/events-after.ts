import type { JobEvent, JobEventList } from '../api/types.ts';

/** Of a long job's older steps as many as show the curve. */
export interface EventQuery {
  readonly limit: number;
  readonly after: string | undefined;
  readonly metrics: 'thinned';
}

const PAGE = 500;
/** What has come since the last look fits into one of these. */
const FRESH_PAGE = 50;
/** Pages that are fetched at first: far more than a thinned listing has. */
const MAX_PAGES = 100;

/**
 * What has happened since `before`, joined to it; all there is where the two do not join, as after a job has begun anew.
 * @param pageBehind a page of events, the latest first
 */
export async function eventsAfter(
  before: readonly JobEvent[],
  pageBehind: (query: EventQuery) => Promise<JobEventList>,
): Promise<readonly JobEvent[]> {
  const latestFirst = before.toReversed();
  const fresh: JobEvent[] = [];
  for (let page = 0; page < MAX_PAGES; page++) {
    const limit = page === 0 && before.length > 0 ? FRESH_PAGE : PAGE;
    const { data, has_more: hasMore } = await pageBehind({ limit, after: fresh.at(-1)?.id, metrics: 'thinned' });
    const joint = data.findIndex(({ id }) => id === latestFirst[0]?.id);
    const isSame = data.slice(joint).every(({ id }, n) => latestFirst[n]?.id === id);
    if (joint >= 0 && isSame) return [...before, ...[...fresh, ...data.slice(0, joint)].toReversed()];
    fresh.push(...data);
    if (!hasMore) break;
  }
  return fresh.toReversed();
}
