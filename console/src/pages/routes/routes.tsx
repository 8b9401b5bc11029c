import { SimpleGrid } from '@mantine/core';
import { useAnswer } from '../../api/queries.ts';
import type { TaskRouteList } from '../../api/types.ts';
import { Answered, Nothing } from '../../parts/answer-state.tsx';
import { Page, Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { RouteCard } from './route-card.tsx';

/** Canaries grow and end by themselves. */
const EVERY_MS = 5_000;

export default function Routes() {
  const { may } = useSession();
  const routes = useAnswer<TaskRouteList>('/api/routes', { enabled: !may.isOperator, every: EVERY_MS });
  return (
    <Page title="Routes" about="Which version answers each task; a change holds from the next request on">
      {may.isOperator ? (
        <Panel>
          <Nothing title="Routes belong to a tenant">Sign in with a key of the tenant to see and change them.</Nothing>
        </Panel>
      ) : (
        <Answered query={routes} what="Routes">
          {({ data }) =>
            data.length === 0 ? (
              <Panel>
                <Nothing title="No task has a version that answers">
                  Train one, then make it latest on its page under Adapters.
                </Nothing>
              </Panel>
            ) : (
              <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg" style={{ alignItems: 'start' }}>
                {data.map((route) => (
                  <RouteCard key={route.task} route={route} />
                ))}
              </SimpleGrid>
            )
          }
        </Answered>
      )}
    </Page>
  );
}
