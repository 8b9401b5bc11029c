import { useState } from 'react';
import { Button, Select, Text } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import type { AuditEntry, AuditList } from '../api/governance.ts';
import { useAnswer, withQuery } from '../api/queries.ts';
import type { TenantList } from '../api/types.ts';
import { NotOffered, Nothing, Problem } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { count, moment, plain } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Tag } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';

const PATH = '/api/audit';
const PAGE = 50;

export default function Audit() {
  const { api } = useSession();
  return (
    <Page title="Audit" about="Who changed what, each entry bound to the one before it">
      <Panel>{api.offers('get', PATH) ? <Entries /> : <NotOffered what="Audit" />}</Panel>
    </Page>
  );
}

function Entries() {
  const { api, may } = useSession();
  const tenants = useAnswer<TenantList>('/api/tenants', { enabled: may.isOperator });
  const [tenant, setTenant] = useState<string | null>(null);
  const found = useInfiniteQuery({
    queryKey: [PATH, tenant],
    queryFn: ({ pageParam, signal }) =>
      api.json<AuditList>(withQuery(PATH, { limit: PAGE, after: pageParam, tenant: tenant ?? undefined }), { signal }),
    initialPageParam: '',
    getNextPageParam: ({ data, has_more: hasMore }) => (hasMore ? String(data.at(-1)?.seq ?? '') : undefined),
  });
  const entries = found.data?.pages.flatMap(({ data }) => data) ?? [];
  return (
    <>
      {may.isOperator && (
        <Select
          label="Tenant"
          placeholder="all"
          clearable
          data={(tenants.data?.data ?? []).map(({ name }) => name)}
          value={tenant}
          onChange={setTenant}
          maw={260}
          mb="md"
        />
      )}
      {found.error ? (
        <Problem error={found.error} what="Audit" />
      ) : entries.length === 0 && found.isSuccess ? (
        <Nothing title="Nothing has been changed yet" />
      ) : (
        <DataTable
          label="Audit log"
          rows={entries}
          idOf={({ seq }) => String(seq)}
          columns={[
            { name: 'No.', isNumber: true, cell: ({ seq }) => count(seq) },
            { name: 'When', cell: ({ at }) => moment(at) },
            { name: 'Who', cell: ({ actor }) => <span className="mono">{actor ?? 'erased'}</span> },
            { name: 'Tenant', cell: (entry) => entry.tenant ?? '–' },
            { name: 'What', cell: ({ action }) => <Tag>{action}</Tag> },
            { name: 'On', cell: ({ target }) => <span className="mono">{target ?? '–'}</span> },
            { name: 'Detail', wraps: true, cell: (entry) => <Detail entry={entry} /> },
            { name: 'Hash', cell: ({ hash }) => <span className="mono">{hash.slice(0, 12)}</span> },
          ]}
        />
      )}
      {found.hasNextPage && (
        <Button mt="md" variant="default" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          Show more
        </Button>
      )}
    </>
  );
}

function Detail({ entry: { detail } }: { readonly entry: AuditEntry }) {
  if (detail === null) return '–';
  const text =
    typeof detail === 'string'
      ? detail
      : Object.entries(detail)
          .map(([name, value]) => `${name} ${plain(value)}`)
          .join(', ');
  return (
    <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
      {text === '' ? '–' : text}
    </Text>
  );
}
