import { lazy, Suspense } from 'react';
import { Loader } from '@mantine/core';
import { Route, Switch } from 'wouter';
import { Page } from '../parts/page.tsx';
import { Nothing } from '../parts/answer-state.tsx';

const Overview = lazy(() => import('./overview.tsx'));
const Train = lazy(() => import('./train/train.tsx'));
const Jobs = lazy(() => import('./jobs.tsx'));
const JobPage = lazy(() => import('./job.tsx'));
const Adapters = lazy(() => import('./adapters.tsx'));
const AdapterPage = lazy(() => import('./adapter.tsx'));
const Routes = lazy(() => import('./routes/routes.tsx'));
const Playground = lazy(() => import('./playground/playground.tsx'));
const Tenants = lazy(() => import('./tenants/tenants.tsx'));
const TenantPage = lazy(() => import('./tenants/tenant.tsx'));
const Keys = lazy(() => import('./keys.tsx'));
const UsagePage = lazy(() => import('./usage.tsx'));
const Audit = lazy(() => import('./audit.tsx'));

/** A page is fetched when it is first looked at. */
export function Pages() {
  return (
    <Suspense fallback={<Loader aria-label="Loading the page" />}>
      <Switch>
        <Route path="/" component={Overview} />
        <Route path="/train" component={Train} />
        <Route path="/jobs" component={Jobs} />
        <Route path="/jobs/:id">{({ id }) => <JobPage key={id} id={id} />}</Route>
        <Route path="/adapters" component={Adapters} />
        <Route path="/adapters/*?">{(params) => <AdapterPage reference={decoded(params['*'] ?? '')} />}</Route>
        <Route path="/routes" component={Routes} />
        <Route path="/playground" component={Playground} />
        <Route path="/tenants" component={Tenants} />
        <Route path="/tenants/:name">{({ name }) => <TenantPage key={name} name={name} />}</Route>
        <Route path="/keys" component={Keys} />
        <Route path="/usage" component={UsagePage} />
        <Route path="/audit" component={Audit} />
        <Route>
          <Page title="No such page">
            <Nothing title="There is nothing here">Choose a page from the menu.</Nothing>
          </Page>
        </Route>
      </Switch>
    </Suspense>
  );
}

/** An address that somebody has typed may be no encoding of anything: then it is taken as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
