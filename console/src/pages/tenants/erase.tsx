import { useEffect, useRef, useState } from 'react';
import { Button, Group, Stack, Table, TextInput, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { useAction } from '../../api/action.ts';
import { withQuery } from '../../api/queries.ts';
import type { TenantErasure } from '../../api/types.ts';
import { Problem } from '../../parts/answer-state.tsx';
import { tellDone } from '../../parts/done.ts';
import { bytes, count } from '../../parts/format.ts';
import { Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';

/** Erases a tenant: what would go is shown first, and its name has to be typed. */
export function Erase({ name }: { readonly name: string }) {
  const { api } = useSession();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [typed, setTyped] = useState('');
  const ask = (isPlan: boolean): Promise<TenantErasure> =>
    api.json<TenantErasure>(
      withQuery(`/api/tenants/${encodeURIComponent(name)}`, { erase: 'true', dry_run: String(isPlan) }),
      { method: 'DELETE' },
    );
  const plan = useAction({ mutationFn: () => ask(true) });
  const erase = useAction({
    mutationFn: () => ask(false),
    onSuccess: async ({ id }) => {
      tellDone(`${name} is erased; the audit log has it as ${id ?? ''}`);
      navigate('/tenants');
      queries.removeQueries({ queryKey: [`/api/tenants/${encodeURIComponent(name)}`] });
      await queries.invalidateQueries();
    },
  });
  const error = erase.error ?? plan.error;
  return (
    <Panel
      title="Erase"
      about="Its keys, adapters, files, jobs and checkpoints go for good, and what is cached of it."
      actions={
        plan.data === undefined && (
          <Button variant="default" loading={plan.isPending} onClick={() => plan.mutate()}>
            What would go
          </Button>
        )
      }
    >
      <Stack>
        {plan.data !== undefined && (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              erase.mutate();
            }}
          >
            <Stack>
              <Report of={plan.data} />
              <TextInput
                label={`Type ${name} to erase it`}
                autoComplete="off"
                maw={360}
                value={typed}
                onChange={(event) => setTyped(event.currentTarget.value)}
              />
              <Group justify="flex-end">
                <Button variant="default" onClick={() => plan.reset()}>
                  Keep it
                </Button>
                <Button type="submit" color="red.9" disabled={typed !== name} loading={erase.isPending}>
                  Erase the tenant
                </Button>
              </Group>
            </Stack>
          </form>
        )}
        {error !== null && <Problem error={error} what="Erasing" />}
      </Stack>
    </Panel>
  );
}

function Report({ of }: { readonly of: TenantErasure }) {
  const lines: readonly (readonly [string, string])[] = [
    ['Keys', count(of.keys)],
    ['Adapter versions', `${count(of.adapters)}, ${bytes(of.adapter_bytes)}`],
    ['Files', `${count(of.files)}, ${bytes(of.file_bytes)}`],
    ['Jobs', `${count(of.jobs)}, ${bytes(of.job_bytes)}`],
    ['Stored contents that go', count(of.blobs_removed)],
    ['Stored contents that stay', `${count(of.blobs_shared)}: others have the same`],
    ['Lines of usage', `${count(of.usage_rows)}: they stay as sums without a name`],
    ['Audit entries', `${count(of.audit_entries)}: only times, actions and hashes stay`],
  ];
  const heading = useRef<HTMLHeadingElement>(null);
  // The button that asked for it has gone.
  useEffect(() => heading.current?.focus(), []);
  return (
    <div>
      <Title ref={heading} tabIndex={-1} order={3} fz="sm" mb={4}>
        What would go
      </Title>
      <Table verticalSpacing={4} fz="sm" aria-label="What would go">
        <Table.Tbody>
          {lines.map(([what, value]) => (
            <Table.Tr key={what}>
              <Table.Th scope="row" fw={500} c="dimmed">
                {what}
              </Table.Th>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
