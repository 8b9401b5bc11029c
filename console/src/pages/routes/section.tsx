import type { ReactNode } from 'react';
import { Group, Stack, Text, Title } from '@mantine/core';

interface SectionProps {
  readonly title: string;
  readonly about: ReactNode;
  readonly actions?: ReactNode;
  readonly children?: ReactNode;
}

/** A part of a task's card, with its own heading. */
export function Section({ title, about, actions, children }: SectionProps) {
  return (
    <Stack gap="xs" className="section" component="section" aria-label={title}>
      <Group justify="space-between" gap="sm">
        <Title order={3} size="h5">
          {title}
        </Title>
        {actions !== undefined && <Group gap="xs">{actions}</Group>}
      </Group>
      <Text size="sm" c="dimmed" component="div" style={{ overflowWrap: 'anywhere' }}>
        {about}
      </Text>
      {children}
    </Stack>
  );
}
