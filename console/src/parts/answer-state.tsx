import type { ReactNode } from 'react';
import type { UseQueryResult } from '@tanstack/react-query';
import { Alert, Skeleton, Stack, Text } from '@mantine/core';
import { ApiError } from '../api/client.ts';

interface Props<Data> {
  readonly query: UseQueryResult<Data>;
  /** What it is, for the message that the server has none of it. */
  readonly what: string;
  readonly children: (data: Data) => ReactNode;
}

/** What an answer brought, or why there is none. */
export function Answered<Data>({ query, what, children }: Props<Data>) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Problem error={query.error} what={what} />;
  return <Waiting />;
}

/** Where an answer will be. */
export function Waiting() {
  return (
    <Stack gap="sm" aria-busy="true">
      <Skeleton height={18} width="40%" />
      <Skeleton height={18} />
      <Skeleton height={18} width="80%" />
    </Stack>
  );
}

export function Problem({ error, what }: { readonly error: unknown; readonly what: string }) {
  const isAnswered = error instanceof ApiError;
  if (isAnswered && error.isNotOffered) return <NotOffered what={what} />;
  return (
    <Alert
      color="red"
      variant="outline"
      role="alert"
      title={isAnswered ? 'The server refused' : 'The server does not answer'}
      styles={{ title: { color: 'var(--bad)' } }}
    >
      <Text size="sm" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
        {messageOf(error)}
      </Text>
    </Alert>
  );
}

function messageOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return `It may have been stopped, or the network is away (${error instanceof Error ? error.message : String(error)}).`;
}

export function NotOffered({ what }: { readonly what: string }) {
  return <Nothing title={`${what}: not offered by this server`}>A newer version of Espalier may have it.</Nothing>;
}

interface NothingProps {
  readonly title: string;
  readonly children?: ReactNode;
}

/** Where there is nothing to show: what would make something. */
export function Nothing({ title, children }: NothingProps) {
  return (
    <Stack align="center" gap={4} py="xl" ta="center">
      <Text fw={600}>{title}</Text>
      {children !== undefined && (
        <Text size="sm" c="dimmed" maw={480} component="div">
          {children}
        </Text>
      )}
    </Stack>
  );
}
