import { Button, SimpleGrid, TextInput } from '@mantine/core';
import { MagnifyingGlassIcon } from '@radix-ui/react-icons';
import { useAnswer } from '../../api/queries.ts';
import type { TaskRoute, TaskRouteList } from '../../api/types.ts';
import { useAddressed, useShownPages } from '../../parts/address.ts';
import { Answered, Nothing } from '../../parts/answer-state.tsx';
import { count } from '../../parts/format.ts';
import { Page, Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { RouteCard } from './route-card.tsx';

/** Canaries grow and end by themselves. */
const EVERY_MS = 5_000;
/** Cards that are shown at a time: each asks for its own versions, canary and events. */
const FEW = 12;

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
              <Cards routes={data} />
            )
          }
        </Answered>
      )}
    </Page>
  );
}

/** All tasks, or of very many the first ones, with a search. */
function Cards({ routes }: { readonly routes: readonly TaskRoute[] }) {
  const [text, setText] = useAddressed('q');
  const [pages, setPages] = useShownPages();
  const found = routes.filter(({ task }) => task.includes(text.trim().toLowerCase()));
  const shown = found.slice(0, FEW * pages);
  return (
    <>
      {routes.length > FEW && (
        <TextInput
          label="Task"
          placeholder="a part of its name"
          description={`${count(found.length)} of ${count(routes.length)}`}
          leftSection={<MagnifyingGlassIcon />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          maw={420}
        />
      )}
      {found.length === 0 && (
        <Panel>
          <Nothing title="No task is called so">Search for less.</Nothing>
        </Panel>
      )}
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg" style={{ alignItems: 'start' }}>
        {shown.map((route) => (
          <RouteCard key={route.task} route={route} />
        ))}
      </SimpleGrid>
      {shown.length < found.length && (
        <Button variant="default" style={{ alignSelf: 'start' }} onClick={() => setPages(pages + 1)}>
          Show more
        </Button>
      )}
    </>
  );
}
