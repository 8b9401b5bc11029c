import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Center, Loader } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { ApiClient, ApiError } from '../api/client.ts';
import { permissionsOf, type Permissions } from './permissions.ts';
import { SignIn } from './sign-in.tsx';

/** The key is kept for this tab only, and goes with it. */
const STORED = 'espalier.key';
const AGAIN_MS = 2_000;

const UNKNOWN_KEY = 'The server does not know this key.';
const TRIED_AGAIN = 'The server does not answer. The key of this tab is tried again every two seconds.';

interface SignedIn {
  readonly api: ApiClient;
  readonly may: Permissions;
  readonly signOut: () => void;
}

const Context = createContext<SignedIn | null>(null);

/** What is below it has a key. */
export function SessionProvider({ children }: { readonly children: ReactNode }) {
  const [api, setApi] = useState<ApiClient | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  /** The tab has a key already, which is being looked at. */
  const [isReturning, setReturning] = useState(() => sessionStorage.getItem(STORED) !== null);
  const queries = useQueryClient();

  const leave = useCallback(
    (why: string | null) => {
      sessionStorage.removeItem(STORED);
      queries.clear();
      setApi(null);
      setProblem(why);
    },
    [queries],
  );
  const enter = useCallback(
    async (key: string): Promise<void> => {
      setBusy(true);
      try {
        // A header takes no other letters, and no key has them.
        if (!/^[\x21-\x7e]+$/.test(key)) throw new ApiError(401, 'invalid_api_key', 'no key');
        const signedIn = await ApiClient.signIn(key, () => leave('The server does not take the key any more.'));
        sessionStorage.setItem(STORED, key);
        setApi(signedIn);
        setProblem(null);
      } catch (error) {
        const isRefused = error instanceof ApiError && error.status === 401;
        if (isRefused) sessionStorage.removeItem(STORED);
        const isKept = sessionStorage.getItem(STORED) !== null;
        setProblem(isRefused ? UNKNOWN_KEY : isKept ? TRIED_AGAIN : `The server cannot be asked: ${String(error)}`);
      } finally {
        setBusy(false);
        setReturning(false);
      }
    },
    [leave],
  );
  useEffect(() => {
    const stored = sessionStorage.getItem(STORED);
    if (stored !== null) void enter(stored);
  }, [enter]);
  // The tab has a key and the server did not answer: it may be starting.
  useEffect(() => {
    const stored = sessionStorage.getItem(STORED);
    if (api !== null || problem === null || stored === null) return undefined;
    const timer = setTimeout(() => void enter(stored), AGAIN_MS);
    return () => clearTimeout(timer);
  }, [api, problem, enter]);

  const signedIn = useMemo(() => api && { api, may: permissionsOf(api), signOut: () => leave(null) }, [api, leave]);
  if (isReturning && !signedIn) {
    return (
      <Center mih="100vh">
        <Loader aria-label="Signing in" />
      </Center>
    );
  }
  if (!signedIn) return <SignIn isBusy={isBusy} problem={problem} onKey={(key) => void enter(key)} />;
  return <Context value={signedIn}>{children}</Context>;
}

export function useSession(): SignedIn {
  const signedIn = useContext(Context);
  if (!signedIn) throw new Error('this part of the console is shown only with a key');
  return signedIn;
}
