import type { ReactNode } from 'react';
import { SimpleGrid, Text } from '@mantine/core';

interface FigureProps {
  readonly name: string;
  readonly value: ReactNode;
  readonly note?: ReactNode;
}

/** One number with its name. */
export function Figure({ name, value, note }: FigureProps) {
  return (
    <div className="panel figure" style={{ padding: '14px 18px', minWidth: 0 }}>
      <Text size="sm" c="dimmed">
        {name}
      </Text>
      <Text className="number" fz={26} fw={650} lh={1.3}>
        {value}
      </Text>
      {note !== undefined && (
        <Text size="xs" c="dimmed">
          {note}
        </Text>
      )}
    </div>
  );
}

export function Figures({ children }: { readonly children: ReactNode }) {
  return (
    <SimpleGrid cols={{ base: 2, md: 4 }} spacing={{ base: 'sm', md: 'md' }}>
      {children}
    </SimpleGrid>
  );
}
