import { useAnswer, withQuery } from '../../api/queries.ts';
import type { Adapter, AdapterList, TaskRoute } from '../../api/types.ts';
import { useSession } from '../../session/session.tsx';

/** The published versions of a task, the oldest first. */
export function useVersions(task: string): readonly Adapter[] {
  const { api } = useSession();
  const tenant = api.session.tenant ?? undefined;
  const found = useAnswer<AdapterList>(withQuery('/api/adapters', { tenant, q: task, limit: 500 }));
  return (found.data?.data ?? []).filter((one) => one.task === task);
}

/** The version that `latest` points at. */
export function latestVersion({ latest }: TaskRoute): number | null {
  return latest === null ? null : Number(latest.slice(latest.lastIndexOf('@') + 1));
}
