import { useState } from 'react';
import { Alert, Button, Code, Group, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { useAction } from '../api/action.ts';
import type { ApiKey, NewApiKey } from '../api/governance.ts';
import { useAnswer } from '../api/queries.ts';
import type { TenantList } from '../api/types.ts';
import { Answered, NotOffered, Nothing, Problem } from '../parts/answer-state.tsx';
import { Copy } from '../parts/copy.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { tellDone, tellProblem } from '../parts/done.ts';
import { moment } from '../parts/format.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Toned } from '../parts/status.tsx';
import { useSession } from '../session/session.tsx';

const PATH = '/api/keys';
const DAY_S = 24 * 3600;

export default function Keys() {
  const { api, may } = useSession();
  const isOffered = api.offers('get', PATH);
  const [isOpen, { open, close }] = useDisclosure(false);
  const keys = useAnswer<{ data: ApiKey[] }>(PATH, { enabled: isOffered });
  return (
    <Page
      title="Keys"
      about="Kept only as hashes: a key is shown once, when it is made"
      actions={may.keepKeys && api.offers('post', PATH) && <Button onClick={open}>New key</Button>}
    >
      <Panel>
        {isOffered ? (
          <Answered query={keys} what="Keys">
            {({ data }) =>
              data.length === 0 ? <Nothing title="There is no key" /> : <KeyTable keys={data.toReversed()} />
            }
          </Answered>
        ) : (
          <NotOffered what="Keys" />
        )}
      </Panel>
      <Modal opened={isOpen} onClose={close} title="New key">
        <NewKey onClose={close} />
      </Modal>
    </Page>
  );
}

function KeyTable({ keys }: { readonly keys: readonly ApiKey[] }) {
  const { api } = useSession();
  const queries = useQueryClient();
  const [doomed, setDoomed] = useState<ApiKey | null>(null);
  const revoke = useAction({
    mutationFn: ({ id }: ApiKey) => api.send(`${PATH}/${encodeURIComponent(id)}`, { method: 'DELETE' }),
    onSuccess: async () => {
      tellDone('The key opens nothing any more');
      setDoomed(null);
      await queries.invalidateQueries({ queryKey: [PATH] });
    },
    onError: tellProblem,
  });
  return (
    <>
      <DataTable
        label="API keys"
        rows={keys}
        idOf={({ id }) => id}
        columns={[
          { name: 'Key', cell: ({ hint, id }) => <span className="mono">{hint === undefined ? id : `${hint}…`}</span> },
          { name: 'Name', cell: ({ name }) => (name === undefined || name === '' ? '–' : name) },
          { name: 'Tenant', cell: ({ tenant }) => tenant ?? 'operator' },
          { name: 'Role', cell: ({ role }) => role },
          { name: 'State', cell: (key) => <State of={key} /> },
          { name: 'Made', isNumber: true, cell: (key) => moment(key.created_at) },
          {
            name: '',
            cell: (key) =>
              key.revoked_at === null && key.id !== api.session.key_id ? (
                <Button size="compact-xs" variant="default" onClick={() => setDoomed(key)}>
                  Revoke
                </Button>
              ) : null,
          },
        ]}
      />
      <Modal opened={doomed !== null} onClose={() => setDoomed(null)} title="Revoke this key?">
        <Stack>
          <Text size="sm">
            Whoever uses <Code>{doomed?.hint ?? doomed?.id}</Code> is refused at once, and for good.
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setDoomed(null)}>
              Keep it
            </Button>
            <Button color="red.9" loading={revoke.isPending} onClick={() => doomed && revoke.mutate(doomed)}>
              Revoke it
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}

function State({ of: { revoked_at: revoked, expires_at: expires } }: { readonly of: ApiKey }) {
  if (revoked !== null) return <Toned tone="bad">revoked</Toned>;
  if (expires === null) return <Toned tone="good">valid</Toned>;
  if (expires <= Date.now() / 1000) return <Toned tone="quiet">expired</Toned>;
  return <Toned tone="good">{`until ${moment(expires)}`}</Toned>;
}

const ROLES = [
  { value: 'reader', label: 'reader: asks models' },
  { value: 'writer', label: 'writer: also trains and routes' },
  { value: 'admin', label: 'admin: also keeps keys' },
];
const OPERATOR = '(operator)';

function NewKey({ onClose }: { readonly onClose: () => void }) {
  const { api, may } = useSession();
  const queries = useQueryClient();
  const tenants = useAnswer<TenantList>('/api/tenants', { enabled: may.isOperator });
  const [tenant, setTenant] = useState(api.session.tenant);
  const [role, setRole] = useState('reader');
  const [name, setName] = useState('');
  const [days, setDays] = useState('');
  const isOperators = tenant === OPERATOR;
  const make = useAction({
    mutationFn: () =>
      api.json<NewApiKey>(PATH, {
        method: 'POST',
        body: {
          tenant: isOperators ? null : tenant,
          role: isOperators ? 'admin' : role,
          ...(name !== '' && { name }),
          ...(days !== '' && { expires_at: Math.floor(Date.now() / 1000) + Number(days) * DAY_S }),
        },
      }),
    onSuccess: () => queries.invalidateQueries({ queryKey: [PATH] }),
  });
  if (make.data) return <Secret secret={make.data.secret} onClose={onClose} />;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Stack>
        {may.isOperator && (
          <Select
            label="Tenant"
            data={[OPERATOR, ...(tenants.data?.data ?? []).map((one) => one.name)]}
            value={tenant}
            onChange={setTenant}
            placeholder="whose key it is"
            searchable
            required
            withAsterisk={false}
          />
        )}
        {!isOperators && (
          <Select
            label="Role"
            data={ROLES}
            value={role}
            onChange={(value) => setRole(value ?? role)}
            allowDeselect={false}
          />
        )}
        <TextInput
          label="Name"
          description="What it is for."
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <TextInput
          label="Days until it expires"
          description="Empty: it does not."
          inputMode="numeric"
          pattern="[1-9][0-9]*"
          value={days}
          onChange={(event) => setDays(event.currentTarget.value)}
        />
        {make.error !== null && <Problem error={make.error} what="Keys" />}
        <Button type="submit" loading={make.isPending} disabled={tenant === null}>
          Make it
        </Button>
      </Stack>
    </form>
  );
}

function Secret({ secret, onClose }: { readonly secret: string; readonly onClose: () => void }) {
  return (
    <Stack>
      <Alert color="leaf" variant="outline" title="Copy it now">
        <Text size="sm">It is kept only as a hash, and is not shown again.</Text>
      </Alert>
      <Code block style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }} data-testid="secret">
        {secret}
      </Code>
      <Group justify="flex-end">
        <Copy value={secret} />
        <Button onClick={onClose}>Done</Button>
      </Group>
    </Stack>
  );
}
