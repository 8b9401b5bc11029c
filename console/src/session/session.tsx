import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Center, Loader } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { ApiClient, ApiError } from '../api/client.ts';
import { permissionsOf, type Permissions } from './permissions.ts';
import { SignIn } from './sign-in.tsx';

/** The key is kept for this tab only, and goes with it. */
const STORED = 'espalier.key';

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
      setProblem(null);
      try {
        const signedIn = await ApiClient.signIn(key, () => leave('The server does not take the key any more.'));
        sessionStorage.setItem(STORED, key);
        setApi(signedIn);
      } catch (error) {
        const isRefused = error instanceof ApiError && error.status === 401;
        if (isRefused) sessionStorage.removeItem(STORED);
        setProblem(isRefused ? 'The server does not know this key.' : `The server cannot be asked: ${String(error)}`);
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
