import { AppShell, Button, Stack, Text, type ButtonProps } from '@mantine/core';
import { ExitIcon } from '@radix-ui/react-icons';
import { useSession } from '../session/session.tsx';

/** Whose key it is, in the bar: of a long name as much as there is room for. */
export function Who() {
  const { tenant, role } = useOwner();
  const whole = role === null ? tenant : `${tenant} · ${role}`;
  return (
    <>
      <Text size="sm" c="dimmed" truncate title={whole} visibleFrom="xs">
        {whole}
      </Text>
      <Stack gap={0} miw={0} ta="right" hiddenFrom="xs">
        <Text size="sm" fw={600} lh={1.25} truncate>
          {tenant}
        </Text>
        {role !== null && (
          <Text size="xs" c="dimmed" lh={1.25}>
            {role}
          </Text>
        )}
      </Stack>
    </>
  );
}

/** On a narrow screen the bar has no room for it: the whole name, and the way out. */
export function WhoInMenu() {
  const { tenant, role } = useOwner();
  return (
    <AppShell.Section hiddenFrom="xs" pt="sm" className="shell-foot">
      <Text size="xs" c="dimmed">
        Signed in with the key of
      </Text>
      <Text size="sm" fw={600} mb="xs" style={{ overflowWrap: 'anywhere' }}>
        {role === null ? `the ${tenant}` : `${tenant}, ${role}`}
      </Text>
      <SignOut fullWidth />
    </AppShell.Section>
  );
}

export function SignOut(props: ButtonProps) {
  const { signOut } = useSession();
  return (
    <Button
      variant="default"
      size="xs"
      h={34}
      leftSection={<ExitIcon />}
      onClick={signOut}
      style={{ flexShrink: 0 }}
      {...props}
    >
      Sign out
    </Button>
  );
}

/** The operator has no tenant, and its keys one role. */
function useOwner(): { readonly tenant: string; readonly role: string | null } {
  const { api, may } = useSession();
  const { tenant, role } = api.session;
  return may.isOperator || tenant === null ? { tenant: 'operator', role: null } : { tenant, role };
}
