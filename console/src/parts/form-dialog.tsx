import type { FormEvent, ReactNode } from 'react';
import { Button, Group, Modal, Stack } from '@mantine/core';
import { Problem } from './answer-state.tsx';

interface Props {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly size?: 'md' | 'lg';
  /** On the button that does it. */
  readonly action: string;
  readonly isReady: boolean;
  readonly isPending: boolean;
  readonly error: Error | null;
  readonly onSubmit: () => void;
  readonly children: ReactNode;
}

/** A form over the page. What the server refuses is told inside it, and nothing that was typed is lost. */
export function FormDialog(props: Props) {
  const { title, isOpen, onClose, size = 'md', action, isReady, isPending, error, onSubmit, children } = props;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    onSubmit();
  };
  return (
    <Modal opened={isOpen} onClose={onClose} size={size} title={title}>
      <form onSubmit={submit}>
        <Stack>
          {children}
          {error !== null && <Problem error={error} what={title} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Leave it
            </Button>
            <Button type="submit" disabled={!isReady} loading={isPending}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
