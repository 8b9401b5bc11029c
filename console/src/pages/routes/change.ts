import { useQueryClient, type UseMutationResult } from '@tanstack/react-query';
import { useAction } from '../../api/action.ts';
import type { RequestOptions } from '../../api/client.ts';
import type { TaskRoute } from '../../api/types.ts';
import { tellDone } from '../../parts/done.ts';
import { useSession } from '../../session/session.tsx';

interface Change {
  /** Below the task's route: `gate`, `canary`, `shadow`, `promote`. */
  readonly part: string;
  readonly method: NonNullable<RequestOptions['method']>;
  readonly done: string;
  readonly onDone?: () => void;
  readonly onError?: (error: Error) => void;
}

/** Changes who answers a task. What is shown is asked again, also after a refusal: it leaves scores and an event. */
export function useRouteChange<Body extends object | undefined = undefined>(
  { task }: Pick<TaskRoute, 'task'>,
  { part, method, done, onDone, onError }: Change,
): UseMutationResult<void, Error, Body> {
  const { api } = useSession();
  const queries = useQueryClient();
  return useAction<void, Body>({
    async mutationFn(body: Body) {
      const path = `/api/routes/${encodeURIComponent(task)}/${part}`;
      await api.json(path, body === undefined ? { method } : { method, body });
    },
    onSuccess() {
      tellDone(done);
      onDone?.();
    },
    ...(onError && { onError }),
    onSettled: () => queries.invalidateQueries(),
  });
}
