import { useState } from 'react';
import { Anchor, Button, Modal, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import { useAction } from '../../api/action.ts';
import { useAnswer } from '../../api/queries.ts';
import type { Tenant, TenantList } from '../../api/types.ts';
import { Answered, Nothing, Problem } from '../../parts/answer-state.tsx';
import { DataTable } from '../../parts/data-table.tsx';
import { tellDone } from '../../parts/done.ts';
import { bytes, count, moment } from '../../parts/format.ts';
import { Page, Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';

export default function Tenants() {
  const { may } = useSession();
  const [isOpen, { open, close }] = useDisclosure(false);
  const tenants = useAnswer<TenantList>('/api/tenants');
  return (
    <Page
      title="Tenants"
      about="Who is served, and how much each may take"
      actions={may.createTenants && <Button onClick={open}>New tenant</Button>}
    >
      <Panel>
        <Answered query={tenants} what="Tenants">
          {({ data }) =>
            data.length === 0 ? (
              <Nothing title="There is no tenant yet">espalier tenants create NAME makes one.</Nothing>
            ) : (
              <Limits tenants={data} />
            )
          }
        </Answered>
      </Panel>
      <Modal opened={isOpen} onClose={close} title="New tenant">
        <NewTenant onMade={close} />
      </Modal>
    </Page>
  );
}

function Limits({ tenants }: { readonly tenants: readonly Tenant[] }) {
  const limit = (value: number | null): string => (value === null ? 'none' : count(value));
  return (
    <DataTable
      label="Tenants"
      rows={tenants}
      idOf={({ name }) => name}
      columns={[
        {
          name: 'Tenant',
          cell: ({ name }) => (
            <Anchor component={Link} href={`/tenants/${name}`} fw={600}>
              {name}
            </Anchor>
          ),
        },
        { name: 'Weight', isNumber: true, cell: ({ weight }) => count(weight ?? 1) },
        { name: 'At once', isNumber: true, cell: (one) => limit(one.max_concurrency) },
        { name: 'Requests a minute', isNumber: true, cell: (one) => limit(one.requests_per_minute) },
        { name: 'Tokens a minute', isNumber: true, cell: (one) => limit(one.tokens_per_minute) },
        { name: 'Adapters', isNumber: true, cell: (one) => limit(one.max_adapters) },
        {
          name: 'Bytes',
          isNumber: true,
          cell: (one) => (one.max_adapter_bytes === null ? 'none' : bytes(one.max_adapter_bytes)),
        },
        { name: 'Made', isNumber: true, cell: (one) => moment(one.created_at) },
      ]}
    />
  );
}

function NewTenant({ onMade }: { readonly onMade: () => void }) {
  const { api } = useSession();
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const make = useAction({
    mutationFn: () => api.json('/api/tenants', { method: 'POST', body: { name } }),
    onSuccess: async () => {
      tellDone(`The tenant ${name} is there`);
      await queries.invalidateQueries({ queryKey: ['/api/tenants'] });
      onMade();
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Stack>
        <TextInput
          label="Name"
          description="Lower-case letters, digits, “.”, “_”, “-”. It is part of every model name."
          required
          withAsterisk={false}
          data-autofocus
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        {make.error !== null && <Problem error={make.error} what="Tenants" />}
        <Button type="submit" loading={make.isPending}>
          Make it
        </Button>
      </Stack>
    </form>
  );
}
