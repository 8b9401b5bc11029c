import { useEffect, useRef, type ReactNode } from 'react';
import { AppShell, Burger, Group, NavLink, ScrollArea, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Link, useLocation } from 'wouter';
import { useSession } from '../session/session.tsx';
import { Connection } from './connection.tsx';
import { Logo } from './logo.tsx';
import { PageGuard } from './page-guard.tsx';
import { PLACES } from './places.ts';
import { ThemeButton } from './theme-button.tsx';
import { SignOut, Who, WhoInMenu } from './who.tsx';

export function Shell({ children }: { readonly children: ReactNode }) {
  const [isOpen, { toggle, close }] = useDisclosure(false);
  const [path] = useLocation();
  const content = useRef<HTMLElement>(null);
  useEffect(close, [path, close]);
  /** A place that has been chosen takes the narrow screen's menu away, with the link that has the focus. */
  const leaveMenu = (): void => {
    if (!isOpen) return;
    close();
    content.current?.focus({ preventScroll: true });
  };
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 216, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding={{ base: 'md', md: 'xl' }}
    >
      <a className="skip" href="#content">
        To the content
      </a>
      <AppShell.Header className="shell-bar">
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap" style={{ flexShrink: 0 }}>
            <Burger opened={isOpen} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
            <Logo size={28} />
            <Text fw={700} fz="lg">
              Espalier
            </Text>
          </Group>
          <Group gap="xs" wrap="nowrap" miw={0}>
            <Who />
            <ThemeButton />
            <SignOut visibleFrom="xs" />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" className="shell-side" aria-label="Pages">
        <Places path={path} onChoose={leaveMenu} />
        <WhoInMenu />
      </AppShell.Navbar>
      <AppShell.Main ref={content} id="content" tabIndex={-1}>
        <Connection />
        <PageGuard key={path}>{children}</PageGuard>
      </AppShell.Main>
    </AppShell>
  );
}

function Places({ path, onChoose }: { readonly path: string; readonly onChoose: () => void }) {
  const { may } = useSession();
  const groups = PLACES.map(({ group, places }) => ({ group, places: places.filter(({ isFor }) => isFor(may)) }));
  return (
    <AppShell.Section grow component={ScrollArea}>
      <Stack gap="md">
        {groups
          .filter(({ places }) => places.length > 0)
          .map(({ group, places }) => (
            <div key={group}>
              {group !== '' && (
                <Text size="xs" c="dimmed" fw={600} px="sm" pb={4}>
                  {group}
                </Text>
              )}
              {places.map(({ path: to, name, icon: Icon }) => {
                const isHere = to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`);
                return (
                  <NavLink
                    key={to}
                    component={Link}
                    href={to}
                    onClick={onChoose}
                    label={name}
                    leftSection={<Icon />}
                    className="nav-link"
                    variant="subtle"
                    {...(isHere && { 'data-active': true, 'aria-current': 'page' as const })}
                  />
                );
              })}
            </div>
          ))}
      </Stack>
    </AppShell.Section>
  );
}
