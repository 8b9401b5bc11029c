import { useQuery, useQueryClient } from '@tanstack/react-query';
import { withQuery } from '../api/queries.ts';
import type { Job, JobEvent, JobEventList } from '../api/types.ts';
import { useSession } from '../session/session.tsx';

const EVERY_MS = 1_500;
const PAGE = 500;
/** What has come since the last look fits into one of these. */
const FRESH_PAGE = 50;
/** Pages that are fetched at first: as many steps as a curve can show. */
const MAX_PAGES = 20;

export function isOver(status: Job['status']): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** The events of a job, oldest first, asked again until the job is over. */
export function useJobEvents(job: Job): { readonly events: readonly JobEvent[]; readonly isPending: boolean } {
  const { api } = useSession();
  const queries = useQueryClient();
  const path = `/v1/fine_tuning/jobs/${job.id}/events`;
  const { data, isPending } = useQuery({
    // The last look comes behind the end.
    queryKey: [path, isOver(job.status)],
    queryFn: ({ signal, queryKey }) =>
      eventsAfter(queries.getQueryData<readonly JobEvent[]>(queryKey) ?? [], (after, limit) =>
        api.json<JobEventList>(withQuery(path, { limit, after }), { signal }),
      ),
    refetchInterval: isOver(job.status) ? false : EVERY_MS,
    placeholderData: (before) => before,
  });
  return { events: data ?? [], isPending };
}

/**
 * What has happened since `before`, joined to it; all there is where the two do not join, as after a job has begun anew.
 * @param pageBehind a page of events, the latest first
 */
async function eventsAfter(
  before: readonly JobEvent[],
  pageBehind: (after: string | undefined, limit: number) => Promise<JobEventList>,
): Promise<readonly JobEvent[]> {
  const latestFirst = before.toReversed();
  const fresh: JobEvent[] = [];
  for (let page = 0; page < MAX_PAGES; page++) {
    const { data, has_more: hasMore } = await pageBehind(
      fresh.at(-1)?.id,
      page === 0 && before.length > 0 ? FRESH_PAGE : PAGE,
    );
    const joint = data.findIndex(({ id }) => id === latestFirst[0]?.id);
    const isSame = data.slice(joint).every(({ id }, n) => latestFirst[n]?.id === id);
    if (joint >= 0 && isSame) return [...before, ...[...fresh, ...data.slice(0, joint)].toReversed()];
    fresh.push(...data);
    if (!hasMore) break;
  }
  return fresh.toReversed();
}
