import { Component, type ReactNode } from 'react';
import { Button, Text } from '@mantine/core';
import { Nothing } from '../parts/answer-state.tsx';
import { Page } from '../parts/page.tsx';

interface State {
  /** What went wrong; null while nothing has. */
  readonly failure: string | null;
}

const WHOLE: State = { failure: null };

/**
 * What a page meets with stays its own: the menu and the other pages go on. A page's code is fetched when it is first looked at, which
 * fails where the server is away, or has been updated since this tab was opened. To be given the page's path as its key.
 */
export class PageGuard extends Component<{ readonly children: ReactNode }, State> {
  override state = WHOLE;

  static getDerivedStateFromError(error: Error): State {
    return { failure: error.message };
  }

  override render(): ReactNode {
    const { failure } = this.state;
    if (failure === null) return this.props.children;
    return (
      <Page title="This page cannot be shown">
        <Nothing title="It could not be fetched, or met with something that it does not know">
          <Text size="sm" c="dimmed" mb="md" style={{ overflowWrap: 'anywhere' }}>
            {failure}
          </Text>
          <Button variant="default" onClick={() => location.reload()}>
            Load it again
          </Button>
        </Nothing>
      </Page>
    );
  }
}
