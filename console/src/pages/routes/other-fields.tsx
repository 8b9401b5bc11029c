import { Table } from '@mantine/core';
import type { TaskRoute } from '../../api/types.ts';
import { plain, words } from '../../parts/format.ts';

const SHOWN = new Set(['object', 'task', 'latest', 'split']);

/** What else the server says of a route: a canary, shadow traffic, a gate. Shown as it is said. */
export function OtherFields({ route }: { readonly route: TaskRoute }) {
  const flat = (name: string, value: unknown): (readonly [string, string])[] => {
    if (value === null || value === undefined) return [];
    if (typeof value !== 'object') return [[name, plain(value)]];
    return Object.entries(value).flatMap(([key, inner]) => flat(`${name} ${words(key)}`, inner));
  };
  const fields = Object.entries(route)
    .filter(([name]) => !SHOWN.has(name))
    .flatMap(([name, value]) => flat(words(name), value));
  if (fields.length === 0) return null;
  return (
    <Table verticalSpacing={4} layout="fixed" fz="sm">
      <Table.Tbody>
        {fields.map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" fw={500} c="dimmed">
              {name}
            </Table.Th>
            <Table.Td style={{ overflowWrap: 'anywhere' }}>{value}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
