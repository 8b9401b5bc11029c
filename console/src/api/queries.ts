import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import { useSession } from '../session/session.tsx';

interface Options {
  /** Milliseconds after which it is asked again; never unless told. */
  readonly every?: number | false | undefined;
  readonly enabled?: boolean | undefined;
}

/** What a path of the API answers, kept and asked again as the options say. */
export function useAnswer<Body>(path: string, { every = false, enabled = true }: Options = {}): UseQueryResult<Body> {
  const { api } = useSession();
  return useQuery({
    queryKey: [path],
    queryFn: ({ signal }) => api.json<Body>(path, { signal }),
    refetchInterval: every,
    enabled,
  });
}

/** A path with a query: what is undefined or empty is left out. */
export function withQuery(path: string, query: Readonly<Record<string, string | number | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}
