import { useQuery, useQueryClient } from '@tanstack/react-query';
import { withQuery } from '../api/queries.ts';
import type { Job, JobEvent, JobEventList } from '../api/types.ts';
import { useSession } from '../session/session.tsx';
import { eventsAfter } from './events-after.ts';

const EVERY_MS = 1_500;

export function isOver(status: Job['status']): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** The events of a job, oldest first, of a long one's steps as many as show its curve; asked again until the job is over. */
export function useJobEvents(job: Job): { readonly events: readonly JobEvent[]; readonly isPending: boolean } {
  const { api } = useSession();
  const queries = useQueryClient();
  const path = `/v1/fine_tuning/jobs/${job.id}/events`;
  const { data, isPending } = useQuery({
    // The last look comes behind the end.
    queryKey: [path, isOver(job.status)],
    queryFn: ({ signal, queryKey }) =>
      eventsAfter(queries.getQueryData<readonly JobEvent[]>(queryKey) ?? [], (query) =>
        api.json<JobEventList>(withQuery(path, { ...query }), { signal }),
      ),
    refetchInterval: isOver(job.status) ? false : EVERY_MS,
    placeholderData: (before) => before,
  });
  return { events: data ?? [], isPending };
}
