import { useQuery } from '@tanstack/react-query';
import { withQuery } from '../api/queries.ts';
import type { Job, JobEvent, JobEventList } from '../api/types.ts';
import { useSession } from '../session/session.tsx';

const EVERY_MS = 1_500;
const PAGE = 100;
/** Pages that are fetched: as many steps as a curve can show. */
const MAX_PAGES = 20;

export function isOver(status: Job['status']): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** The events of a job, oldest first, asked again until the job is over. */
export function useJobEvents(job: Job): { readonly events: readonly JobEvent[]; readonly isPending: boolean } {
  const { api } = useSession();
  const path = `/v1/fine_tuning/jobs/${job.id}/events`;
  const { data, isPending } = useQuery({
    // The last look comes behind the end.
    queryKey: [path, isOver(job.status)],
    queryFn: async ({ signal }) => {
      const events: JobEvent[] = [];
      for (let page = 0; page < MAX_PAGES; page++) {
        const after = events.at(-1)?.id;
        const found = await api.json<JobEventList>(withQuery(path, { limit: PAGE, after }), { signal });
        events.push(...found.data);
        if (!found.has_more) break;
      }
      return events.toReversed();
    },
    refetchInterval: isOver(job.status) ? false : EVERY_MS,
    placeholderData: (before) => before,
  });
  return { events: data ?? [], isPending };
}
