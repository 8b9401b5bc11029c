import { Text } from '@mantine/core';
import type { DataCheck } from '../../api/types.ts';
import { DataTable } from '../../parts/data-table.tsx';
import { count } from '../../parts/format.ts';
import { Panel } from '../../parts/page.tsx';

interface Props {
  readonly title: string;
  readonly about: string;
  readonly problems: DataCheck['problems'];
}

/** What is wrong, line by line. */
export function Problems({ title, about, problems }: Props) {
  return (
    <Panel title={title} about={about}>
      <DataTable
        label={title}
        rows={problems.map((problem, index) => ({ ...problem, index }))}
        idOf={({ index }) => String(index)}
        columns={[
          { name: 'Line', isNumber: true, cell: ({ line }) => (line === null ? '–' : count(line)) },
          {
            name: 'What is wrong',
            wraps: true,
            cell: ({ message }) => (
              <Text size="sm" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
                {message}
              </Text>
            ),
          },
        ]}
      />
    </Panel>
  );
}
