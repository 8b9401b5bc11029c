import { useEffect, type ReactNode } from 'react';
import { Button } from '@mantine/core';
import { PAGE, type PagedAnswer } from '../api/queries.ts';
import { useShownPages } from './address.ts';
import { Problem, Waiting } from './answer-state.tsx';

interface Props<Item> {
  readonly list: PagedAnswer<Item>;
  /** Of what has come, what is shown; undefined while nothing can be said yet. */
  readonly items?: readonly Item[] | undefined;
  /** What it is a list of, for the message that the server has none of it. */
  readonly what: string;
  /** Stands where there are no items. */
  readonly nothing: ReactNode;
  readonly children: (items: readonly Item[]) => ReactNode;
}

/** The pages of a list that have come, one after the other, and the way to the next one. */
export function PagedList<Item>(props: Props<Item>) {
  const { list, what, nothing, children } = props;
  const items = 'items' in props ? props.items : list.data;
  const { hasNextPage, isFetching, isFetchNextPageError, fetchNextPage } = list;
  const [wanted, want] = useShownPages();
  const shown = Math.ceil((list.data?.length ?? 0) / PAGE);
  // As after a reload: as many as there were.
  const isShort = shown > 0 && shown < wanted && hasNextPage && !isFetching && !isFetchNextPageError;
  useEffect(() => {
    if (isShort) void fetchNextPage({ cancelRefetch: false });
  }, [isShort, fetchNextPage]);
  const showMore = (): void => {
    void fetchNextPage();
    want(shown + 1);
  };
  return (
    <>
      {list.error && items === undefined ? (
        <Problem error={list.error} what={what} />
      ) : items === undefined ? (
        <Waiting />
      ) : items.length === 0 ? (
        nothing
      ) : (
        children(items)
      )}
      {hasNextPage && (
        <Button mt="md" variant="default" loading={list.isFetchingNextPage} onClick={showMore}>
          Show more
        </Button>
      )}
    </>
  );
}
