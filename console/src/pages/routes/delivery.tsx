import { useAnswer } from '../../api/queries.ts';
import type { DeliveryEvents, TaskRoute } from '../../api/types.ts';
import { useSession } from '../../session/session.tsx';
import { CanarySection } from './canary.tsx';
import { EventsSection } from './events.tsx';
import { GateSection } from './gate.tsx';
import { ShadowSection } from './shadow.tsx';

const EVERY_MS = 5_000;

/** How a new version of the task comes to answer: its gate, its canary, its shadow, and what was done. */
export function Delivery({ route }: { readonly route: TaskRoute }) {
  const { api } = useSession();
  const isOffered = api.offers('get', '/api/routes/{task}/events');
  const path = `/api/routes/${encodeURIComponent(route.task)}/events?limit=50`;
  const found = useAnswer<DeliveryEvents>(path, { every: EVERY_MS, enabled: isOffered });
  if (!isOffered) return null;
  const events = found.data?.data ?? [];
  // Asking for what was never there is a refusal.
  const had = (part: string): boolean => events.some(({ kind }) => kind.startsWith(part));
  return (
    <>
      <GateSection route={route} />
      <CanarySection route={route} hasOne={route.canary !== null || had('canary')} />
      <ShadowSection route={route} hasOne={route.shadow !== null || had('shadow')} />
      <EventsSection events={events} />
    </>
  );
}
