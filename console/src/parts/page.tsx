import { useEffect, useRef, type ReactNode } from 'react';
import { Box, Group, Stack, Text, Title } from '@mantine/core';
import { isFocusLost } from '../focus/kept-focus.ts';

interface PageProps {
  readonly title: string;
  readonly about?: ReactNode;
  /** What can be done on the whole page. */
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

export function Page({ title, about, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Espalier`;
  }, [title]);
  const heading = useRef<HTMLHeadingElement>(null);
  // The link that led here has gone with its page.
  useEffect(() => {
    if (isFocusLost()) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <Box maw={1240} mx="auto">
      <Group justify="space-between" align="flex-start" mb="lg" gap="sm" className="page-head">
        <div>
          <Title ref={heading} tabIndex={-1} order={1} size="h2" style={{ overflowWrap: 'anywhere' }}>
            {title}
          </Title>
          {about !== undefined && (
            <Text c="dimmed" mt={2}>
              {about}
            </Text>
          )}
        </div>
        {actions !== undefined && <Group gap="xs">{actions}</Group>}
      </Group>
      <Stack gap="lg">{children}</Stack>
    </Box>
  );
}

interface PanelProps {
  readonly title?: string;
  readonly about?: ReactNode;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

/** A part of a page, with its own heading. */
export function Panel({ title, about, actions, children }: PanelProps) {
  return (
    <Box component="section" className="panel" p={{ base: 'md', md: 'lg' }} miw={0}>
      {(title !== undefined || actions !== undefined) && (
        <Group justify="space-between" align="flex-start" mb="sm" gap="sm">
          <div>
            {title !== undefined && (
              <Title order={2} size="h4" style={{ overflowWrap: 'anywhere' }}>
                {title}
              </Title>
            )}
            {about !== undefined && (
              <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
                {about}
              </Text>
            )}
          </div>
          {actions !== undefined && <Group gap="xs">{actions}</Group>}
        </Group>
      )}
      {children}
    </Box>
  );
}
