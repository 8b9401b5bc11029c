import { useState } from 'react';
import { Button, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useAction } from '../../api/action.ts';
import { useAnswer } from '../../api/queries.ts';
import type { Tenant, TenantChange, TenantWithUsage } from '../../api/types.ts';
import { Answered } from '../../parts/answer-state.tsx';
import { tellDone, tellProblem } from '../../parts/done.ts';
import { Figure, Figures } from '../../parts/figure.tsx';
import { bytes, count, moment } from '../../parts/format.ts';
import { Page, Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { Erase } from './erase.tsx';
import { NumberField } from '../../parts/number-field.tsx';

const EVERY_MS = 5_000;

export default function TenantPage({ name }: { readonly name: string }) {
  const { may } = useSession();
  const path = `/api/tenants/${encodeURIComponent(name)}`;
  const tenant = useAnswer<TenantWithUsage>(path, { every: EVERY_MS });
  return (
    <Page title={name} about={tenant.data && `A tenant since ${moment(tenant.data.created_at)}`}>
      <Answered query={tenant} what="Tenants">
        {(data) => (
          <>
            <UsageToday tenant={data} />
            {may.limit ? (
              <LimitsForm tenant={data} path={path} />
            ) : (
              <Panel title="Limits" about="Set by the operator">
                <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }}>
                  {FIELDS.map(({ field, label }) => (
                    <div key={field}>
                      <Text size="sm" c="dimmed">
                        {label}
                      </Text>
                      <Text fw={600} className="number">
                        {data[field] === null ? 'none' : count(data[field])}
                      </Text>
                    </div>
                  ))}
                </SimpleGrid>
              </Panel>
            )}
            {may.eraseTenants && <Erase name={name} />}
          </>
        )}
      </Answered>
    </Page>
  );
}

function UsageToday({ tenant: { usage, ...limits } }: { readonly tenant: TenantWithUsage }) {
  const left = (value: number | null): string =>
    value === null ? 'no limit a minute' : `${count(value)} left this minute`;
  const most = (value: number | null, text: (value: number) => string): string =>
    value === null ? 'no limit' : `of ${text(value)}`;
  return (
    <Figures>
      <Figure
        name="Requests today"
        value={count(usage.requests_today)}
        note={`${count(usage.requests_in_flight)} in flight, ${left(usage.requests_remaining)}`}
      />
      <Figure
        name="Tokens today"
        value={count(usage.prompt_tokens_today + usage.completion_tokens_today)}
        note={left(usage.tokens_remaining)}
      />
      <Figure name="Adapters" value={count(usage.adapters)} note={most(limits.max_adapters, count)} />
      <Figure name="Their bytes" value={bytes(usage.adapter_bytes)} note={most(limits.max_adapter_bytes, bytes)} />
    </Figures>
  );
}

type LimitField = keyof Required<TenantChange>;

const FIELDS: readonly { readonly field: LimitField; readonly label: string; readonly about: string }[] = [
  { field: 'weight', label: 'Weight', about: 'Relative to the others’; 1 unless told.' },
  { field: 'max_concurrency', label: 'Requests at once', about: 'Those that wait included.' },
  { field: 'requests_per_minute', label: 'Requests a minute', about: 'Empty: no limit.' },
  { field: 'tokens_per_minute', label: 'Tokens a minute', about: 'Of prompts and answers.' },
  { field: 'max_priority', label: 'Highest priority', about: 'How urgent its requests may be.' },
  { field: 'max_adapters', label: 'Adapter versions', about: 'In the registry.' },
  { field: 'max_adapter_bytes', label: 'Bytes of adapters', about: 'In the registry.' },
];

type LimitValues = Readonly<Record<LimitField, number | null>>;

function limitsOf(tenant: Tenant): LimitValues {
  return Object.fromEntries(FIELDS.map(({ field }) => [field, tenant[field]])) as LimitValues;
}

function LimitsForm({ tenant, path }: { readonly tenant: Tenant; readonly path: string }) {
  const { api } = useSession();
  const queries = useQueryClient();
  const saved = limitsOf(tenant);
  /** What is being written stands over what the server has, which others may change meanwhile. */
  const [written, setWritten] = useState<Partial<LimitValues>>({});
  const values = { ...saved, ...written };
  const changed = FIELDS.filter(({ field }) => values[field] !== saved[field]);
  const save = useAction({
    mutationFn: () =>
      api.json(path, {
        method: 'PATCH',
        body: Object.fromEntries(changed.map(({ field }) => [field, values[field]])),
      }),
    onSuccess: async () => {
      tellDone('The limits hold from the next request on');
      await queries.invalidateQueries();
      setWritten({});
    },
    onError: tellProblem,
  });
  return (
    <Panel title="Limits" about="They hold from the next request on. An empty field is no limit.">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Stack>
          <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }}>
            {FIELDS.map(({ field, label, about }) => (
              <NumberField
                key={field}
                label={label}
                description={about}
                min={0}
                thousandSeparator=" "
                value={values[field]}
                onValue={(value) => setWritten({ ...written, [field]: value })}
              />
            ))}
          </SimpleGrid>
          <Group justify="flex-end">
            <Button variant="subtle" disabled={changed.length === 0} onClick={() => setWritten({})}>
              Undo
            </Button>
            <Button type="submit" disabled={changed.length === 0} loading={save.isPending}>
              Save the limits
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}
