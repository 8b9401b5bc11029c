import { useEffect, useRef, useState, type SubmitEvent } from 'react';
import { Alert, Button, Center, Code, Paper, PasswordInput, Stack, Text, Title } from '@mantine/core';
import { Logo } from '../shell/logo.tsx';

interface Props {
  readonly isBusy: boolean;
  readonly problem: string | null;
  readonly onKey: (key: string) => void;
}

export function SignIn({ isBusy, problem, onKey }: Props) {
  const [key, setKey] = useState('');
  const field = useRef<HTMLInputElement>(null);
  // There is nothing else to do here, and who has just signed out has the focus nowhere.
  useEffect(() => field.current?.focus(), []);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (key.trim() !== '') onKey(key.trim());
  };
  return (
    <Center component="main" mih="100vh" p="md">
      <Paper className="panel" shadow="sm" p="xl" maw={420} w="100%">
        <form onSubmit={submit}>
          <Stack gap="md">
            <Logo size={40} />
            <div>
              <Title order={1} size="h3">
                Espalier
              </Title>
              <Text c="dimmed" size="sm">
                Adapters on one base model: train, keep, serve.
              </Text>
            </div>
            <PasswordInput
              label="API key"
              description="It stays in this tab and is gone when the tab is closed."
              placeholder="esp_…"
              autoComplete="off"
              value={key}
              onChange={(event) => setKey(event.currentTarget.value)}
              ref={field}
              required
              withAsterisk={false}
            />
            {problem !== null && (
              <Alert color="red" role="alert" variant="outline">
                {problem}
              </Alert>
            )}
            <Button type="submit" loading={isBusy} fullWidth>
              Sign in
            </Button>
            <Text size="xs" c="dimmed">
              The operator makes keys with <Code>espalier keys create TENANT</Code>, and one of its own with{' '}
              <Code>--operator</Code>.
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
