import type { ReactNode } from 'react';
import { Button } from '@mantine/core';
import type { PagedAnswer } from '../api/queries.ts';
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
      {list.hasNextPage && (
        <Button mt="md" variant="default" loading={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
          Show more
        </Button>
      )}
    </>
  );
}
