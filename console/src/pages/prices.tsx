import { useState } from 'react';
import { Button, Select, SimpleGrid, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { useAction } from '../api/action.ts';
import { useAnswer } from '../api/queries.ts';
import type { Price, PriceChange, PriceList, TenantList } from '../api/types.ts';
import { Answered, Nothing } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { tellDone } from '../parts/done.ts';
import { FormDialog } from '../parts/form-dialog.tsx';
import { NumberField } from '../parts/number-field.tsx';
import { Panel } from '../parts/page.tsx';
import { useSession } from '../session/session.tsx';

const PATH = '/api/prices';
const EVERYBODY = '(everybody)';
const FIELDS = [
  { field: 'prompt', label: 'Prompt' },
  { field: 'cached', label: 'Cached' },
  { field: 'completion', label: 'Answers' },
  { field: 'training', label: 'Training' },
] as const;

/** What a million tokens cost: what the tenant pays, or for the operator all prices, to change. */
export function Prices() {
  const { api, may } = useSession();
  const isOffered = api.offers('get', PATH);
  const [isOpen, { open, close }] = useDisclosure(false);
  const prices = useAnswer<PriceList>(PATH, { enabled: isOffered });
  if (!isOffered) return null;
  return (
    <Panel
      title="Prices"
      about="for a million tokens, from a day on"
      actions={
        may.setPrices && (
          <Button variant="default" onClick={open}>
            Set prices
          </Button>
        )
      }
    >
      <Answered query={prices} what="Prices">
        {({ data }) =>
          data.length === 0 ? (
            <Nothing title="No price has been set">Usage is counted all the same.</Nothing>
          ) : (
            <DataTable
              label="Prices"
              rows={data}
              idOf={({ tenant, from_day }) => JSON.stringify([tenant, from_day])}
              columns={[
                { name: 'Tenant', cell: ({ tenant }) => tenant ?? 'everybody' },
                { name: 'From', cell: ({ from_day }) => from_day },
                ...FIELDS.map(({ field, label }) => ({
                  name: label,
                  isNumber: true,
                  cell: (price: Price) => price[field] ?? '–',
                })),
                { name: 'Currency', cell: ({ currency }) => currency ?? '–' },
              ]}
            />
          )
        }
      </Answered>
      {isOpen && <SetPrices onClose={close} />}
    </Panel>
  );
}

function SetPrices({ onClose }: { readonly onClose: () => void }) {
  const { api } = useSession();
  const queries = useQueryClient();
  const tenants = useAnswer<TenantList>('/api/tenants');
  const [tenant, setTenant] = useState(EVERYBODY);
  const [currency, setCurrency] = useState('');
  const [values, setValues] = useState<Readonly<Partial<Record<(typeof FIELDS)[number]['field'], number>>>>({});
  const change: PriceChange = { ...values, ...(currency !== '' && { currency: currency.toUpperCase() }) };
  const save = useAction({
    mutationFn: () =>
      api.json(PATH, { method: 'PATCH', body: { ...change, tenant: tenant === EVERYBODY ? null : tenant } }),
    onSuccess: async () => {
      tellDone('The prices hold from today on');
      onClose();
      await queries.invalidateQueries();
    },
  });
  return (
    <FormDialog
      title="Prices from today on"
      isOpen
      onClose={onClose}
      action="Set them"
      isReady={Object.keys(change).length > 0}
      isPending={save.isPending}
      error={save.error}
      onSubmit={() => save.mutate()}
    >
      <Select
        label="Whose"
        description="A tenant’s own go before everybody’s."
        data={[EVERYBODY, ...(tenants.data?.data ?? []).map(({ name }) => name)]}
        value={tenant}
        onChange={(value) => setTenant(value ?? tenant)}
        allowDeselect={false}
        searchable
      />
      <TextInput
        label="Currency"
        description="Three letters, as EUR. An empty field stays as it is."
        maxLength={3}
        value={currency}
        onChange={(event) => setCurrency(event.currentTarget.value)}
      />
      <SimpleGrid cols={2}>
        {FIELDS.map(({ field, label }) => (
          <NumberField
            key={field}
            label={label}
            min={0}
            value={values[field] ?? null}
            onValue={(value) => {
              const { [field]: _before, ...others } = values;
              setValues(value === null ? others : { ...others, [field]: value });
            }}
          />
        ))}
      </SimpleGrid>
    </FormDialog>
  );
}
