import { notifications } from '@mantine/notifications';

const closeButtonProps = { 'aria-label': 'Close' };

/** Says that something was done. */
export function tellDone(message: string): void {
  notifications.show({ message, color: 'leaf', autoClose: 5_000, withBorder: true, closeButtonProps });
}

/** Says why something was not done. */
export function tellProblem(error: unknown): void {
  notifications.show({
    title: 'The server refused',
    message: error instanceof Error ? error.message : String(error),
    color: 'red',
    autoClose: 12_000,
    withBorder: true,
    closeButtonProps,
  });
}
