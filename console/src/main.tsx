import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import 'uplot/dist/uPlot.min.css';
import './console.css';
import './tables.css';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { Router } from 'wouter';
import { ApiError } from './api/client.ts';
import { keepFocus } from './focus/kept-focus.ts';
import { Pages } from './pages/pages.tsx';
import { SessionProvider } from './session/session.tsx';
import { Shell } from './shell/shell.tsx';
import { cssVariables, theme } from './theme.ts';

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      refetchOnWindowFocus: true,
      // Without a network there may be a server nevertheless: this machine's.
      networkMode: 'always',
      // What the server refuses it refuses again; what does not reach it may.
      retry: (count, error) => !(error instanceof ApiError) && count < 2,
    },
    mutations: { networkMode: 'always' },
  },
});

/** The page's policy lets in the style elements that carry its nonce. */
const nonce = document.querySelector('meta[name="style-nonce"]')?.getAttribute('content') ?? '';
const root = document.getElementById('root');
if (!root) throw new Error('the page has no #root');

keepFocus();

createRoot(root).render(
  <MantineProvider
    theme={theme}
    cssVariablesResolver={cssVariables}
    defaultColorScheme="auto"
    getStyleNonce={() => nonce}
  >
    <Notifications position="bottom-right" />
    <QueryClientProvider client={queries}>
      <Router base="/console">
        <SessionProvider>
          <Shell>
            <Pages />
          </Shell>
        </SessionProvider>
      </Router>
    </QueryClientProvider>
  </MantineProvider>,
);
