import {
  keepPreviousData,
  useInfiniteQuery,
  useQuery,
  type UseInfiniteQueryResult,
  type UseQueryResult,
} from '@tanstack/react-query';
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

/** Items of a page. */
export const PAGE = 50;

/** A list of the API, as its wire shapes have it. */
interface ListPage<Item> {
  readonly data: readonly Item[];
  readonly has_more: boolean;
}
interface PagedOptions extends Pick<Options, 'every'> {
  /** What is left out is not sent. */
  readonly query?: Query;
  /** While another query is asked, what the last one brought stays. */
  readonly keepsLast?: boolean;
}

export type PagedAnswer<Item> = UseInfiniteQueryResult<readonly Item[]>;

/**
 * A list of the API, page by page: `data` has the items of all that have come.
 * @param cursorOf what the API takes as `after` to go on behind an item
 */
export function usePagedAnswer<Item>(
  path: string,
  cursorOf: (item: Item) => string,
  { query = {}, every = false, keepsLast = false }: PagedOptions = {},
): PagedAnswer<Item> {
  const { api } = useSession();
  return useInfiniteQuery({
    queryKey: [path, query],
    queryFn: ({ pageParam, signal }) =>
      api.json<ListPage<Item>>(withQuery(path, { ...query, limit: PAGE, after: pageParam }), { signal }),
    initialPageParam: '',
    getNextPageParam: ({ data, has_more: hasMore }) => {
      const last = data.at(-1);
      return hasMore && last !== undefined ? cursorOf(last) : undefined;
    },
    select: ({ pages }): readonly Item[] => pages.flatMap(({ data }) => data),
    refetchInterval: every,
    ...(keepsLast && { placeholderData: keepPreviousData }),
  });
}

type Query = Readonly<Record<string, string | number | undefined>>;

/** A path with a query: what is undefined or empty is left out. */
export function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}
