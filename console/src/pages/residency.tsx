import { SimpleGrid, Group, Text } from '@mantine/core';
import { useAnswer } from '../api/queries.ts';
import type { Residences } from '../api/types.ts';
import { Answered, Nothing } from '../parts/answer-state.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { ago, bytes, count, counted, percent, shortDigest } from '../parts/format.ts';
import { Panel } from '../parts/page.tsx';
import { Status, Tag } from '../parts/status.tsx';

const EVERY_MS = 5_000;

type Tier = NonNullable<Residences['tiers']>['ready'];

/** Which adapters are in memory, and how full the tiers are. */
export function Residency() {
  const residences = useAnswer<Residences>('/v1/lora_adapters?limit=100', { every: EVERY_MS });
  return (
    <Panel title="Adapters in memory" about="Loaded when they are asked for, the least useful put out first">
      <Answered query={residences} what="Residency">
        {({ data, tiers }) => (
          <>
            {tiers && (
              <SimpleGrid cols={{ base: 1, sm: 2 }} mb="md">
                <TierMeter name="Ready to answer" tier={tiers.ready} />
                <TierMeter name="Files in memory" tier={tiers.host} />
              </SimpleGrid>
            )}
            {data.length === 0 ? (
              <Nothing title="No adapter is in memory">One is loaded when a request names it.</Nothing>
            ) : (
              <Resident data={data} />
            )}
          </>
        )}
      </Answered>
    </Panel>
  );
}

function TierMeter({ name, tier }: { readonly name: string; readonly tier: Tier }) {
  const share = tier.budget_bytes === 0 ? 0 : Math.min(1, tier.bytes / tier.budget_bytes);
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text size="sm" fw={600}>
          {name}
        </Text>
        <Text size="sm" c="dimmed" className="number">
          {bytes(tier.bytes)} of {bytes(tier.budget_bytes)}
        </Text>
      </Group>
      <div
        className="meter"
        role="meter"
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(100 * share)}
        aria-valuetext={`${percent(share)} of the budget`}
      >
        <div style={{ width: `${100 * share}%` }} />
      </div>
      <Text size="xs" c="dimmed" mt={4}>
        {counted(tier.adapters, 'adapter')}, {count(tier.evictions)} put out so far
      </Text>
    </div>
  );
}

function Resident({ data }: { readonly data: Residences['data'] }) {
  return (
    <DataTable
      label="Adapters in memory"
      rows={data}
      idOf={({ digest, base }) => `${base} ${digest}`}
      columns={[
        { name: 'Adapter', cell: ({ digest }) => <span className="mono">{shortDigest(digest)}</span> },
        { name: 'Base', cell: ({ base }) => base },
        { name: 'State', cell: ({ state }) => <Status of={state} /> },
        {
          name: 'Names',
          cell: ({ names, pinned }) =>
            names.length > 0 ? names.map((name) => <Tag key={name}>{name}</Tag>) : pinned ? <Tag>pinned</Tag> : '–',
        },
        { name: 'In flight', isNumber: true, cell: ({ leases }) => count(leases) },
        { name: 'Ready', isNumber: true, cell: (one) => bytes(one.ready_bytes) },
        { name: 'File', isNumber: true, cell: (one) => bytes(one.host_bytes) },
        {
          name: 'Last used',
          isNumber: true,
          cell: ({ last_used: at }) => (at === null ? '–' : ago(at)),
        },
      ]}
    />
  );
}
