import { Select, Text } from '@mantine/core';
import type { AuditEntry } from '../api/governance.ts';
import { useAnswer, usePagedAnswer } from '../api/queries.ts';
import type { TenantList } from '../api/types.ts';
import { useAddressed } from '../parts/address.ts';
import { NotOffered, Nothing } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { count, moment, plain } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { PagedList } from '../parts/paged-list.tsx';
import { Tag } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';

const PATH = '/api/audit';

export default function Audit() {
  const { api } = useSession();
  return (
    <Page title="Audit" about="Who changed what, each entry bound to the one before it">
      <Panel>{api.offers('get', PATH) ? <Entries /> : <NotOffered what="Audit" />}</Panel>
    </Page>
  );
}

function Entries() {
  const { may } = useSession();
  const tenants = useAnswer<TenantList>('/api/tenants', { enabled: may.isOperator });
  const [tenant, setTenant] = useAddressed('tenant');
  const entries = usePagedAnswer<AuditEntry>(PATH, ({ seq }) => String(seq), {
    query: { tenant },
  });
  return (
    <>
      {may.isOperator && (
        <Select
          label="Tenant"
          placeholder="all"
          clearable
          data={(tenants.data?.data ?? []).map(({ name }) => name)}
          value={tenant === '' ? null : tenant}
          onChange={(value) => setTenant(value ?? '')}
          maw={260}
          mb="md"
        />
      )}
      <PagedList list={entries} what="Audit" nothing={<Nothing title="Nothing has been changed yet" />}>
        {(rows) => (
          <DataTable
            label="Audit log"
            rows={rows}
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
      </PagedList>
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
