import { useSyncExternalStore } from 'react';
import { Alert } from '@mantine/core';
import { useQueryClient, type QueryClient } from '@tanstack/react-query';
import { ApiError } from '../api/client.ts';
import { exactTime } from '../parts/format.ts';

/** Since when the server has not answered, in milliseconds since 1970; null while it does. */
function silentSince(queries: QueryClient): number | null {
  const shown = queries.getQueryCache().findAll({ type: 'active' });
  // What the server refuses it has answered.
  const unheard = shown.filter(({ state }) => state.error !== null && !(state.error instanceof ApiError));
  if (unheard.length === 0) return null;
  return Math.max(...shown.map(({ state }) => state.dataUpdatedAt));
}

/** Says that what is on the page is no longer what is, where the server cannot be reached. It is asked again as often as before. */
export function Connection() {
  const queries = useQueryClient();
  const since = useSyncExternalStore(
    (onChange) => queries.getQueryCache().subscribe(onChange),
    () => silentSince(queries),
  );
  if (since === null) return null;
  return (
    <Alert
      color="red"
      variant="outline"
      mb="lg"
      title="The server does not answer"
      styles={{ title: { color: 'var(--bad)' } }}
    >
      {since === 0 ? 'It is asked again.' : `What is shown is as it was at ${exactTime(since)}. It is asked again.`}
    </Alert>
  );
}
