import type { CSSProperties, ReactNode } from 'react';
import { Table } from '@mantine/core';

export interface Column<Row> {
  readonly name: string;
  readonly isNumber?: boolean;
  /** Its texts may take several lines. */
  readonly wraps?: boolean;
  readonly cell: (row: Row) => ReactNode;
}

interface Props<Row> {
  /** Read out as what the table holds. */
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly idOf: (row: Row) => string;
}

/** A table that scrolls by itself where the screen is narrow, by keys too. */
export function DataTable<Row>({ label, columns, rows, idOf }: Props<Row>) {
  return (
    // A part that scrolls must be reachable by keys.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div
      className="scroll"
      role="region"
      aria-label={label}
      tabIndex={0}
      style={{ '--columns': columns.length } as CSSProperties}
    >
      <Table verticalSpacing={8} highlightOnHover>
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ name, isNumber }) => (
              <Table.Th key={name} ta={isNumber === true ? 'right' : 'left'} fz="xs" c="dimmed" fw={600}>
                {name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={idOf(row)}>
              {columns.map(({ name, isNumber, wraps, cell }) => (
                <Table.Td
                  key={name}
                  ta={isNumber === true ? 'right' : 'left'}
                  className={`${isNumber === true ? 'number' : ''} ${wraps === true ? 'wraps' : ''}`}
                >
                  {isNumber === true || wraps === true ? cell(row) : <div className="cell">{cell(row)}</div>}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
