import { Hono } from 'hono';
import { systemClock, type Clock, type Log } from '../base/index.ts';
import { createAnswer } from './answer.ts';
import { authenticate } from './auth.ts';
import { consoleResponse, type ConsoleFiles } from './console-files.ts';
import { HttpError } from './error-response.ts';
import { HttpMetrics } from './http-metrics.ts';
import type { RequestContext, Route } from './route.ts';
import { listAdaptersRoute, showAdapterRoute } from './routes/adapters.ts';
import { chatCompletionsRoute } from './routes/chat-completions.ts';
import { completionsRoute } from './routes/completions.ts';
import { deliveryRoutes } from './routes/delivery.ts';
import { checkDataRoute } from './routes/data-check.ts';
import { classifyRoute } from './routes/classify.ts';
import { embeddingsRoute } from './routes/embeddings.ts';
import {
  deleteLoraAdapterRoute,
  listLoraAdaptersRoute,
  loadLoraAdapterRoute,
  unloadLoraAdapterRoute,
} from './routes/lora-adapters.ts';
import { createFileRoute, deleteFileRoute, fileContentRoute, listFilesRoute, showFileRoute } from './routes/files.ts';
import {
  createJobRoute,
  jobCommandRoutes,
  listJobCheckpointsRoute,
  listJobEventsRoute,
  listJobsRoute,
  showJobRoute,
} from './routes/fine-tuning-jobs.ts';
import { healthRoute, readyRoute } from './routes/health.ts';
import { metricsRoute } from './routes/metrics.ts';
import { listModelsRoute, showModelRoute } from './routes/models.ts';
import { openApiRoute } from './routes/openapi.ts';
import { sessionRoute } from './routes/session.ts';
import {
  listTaskRoutesRoute,
  promoteRoute,
  rollbackRoute,
  setTaskRouteRoute,
  showTaskRouteRoute,
} from './routes/task-routes.ts';
import { trafficRoute } from './routes/traffic.ts';
import { addUploadPartRoute, cancelUploadRoute, completeUploadRoute, createUploadRoute } from './routes/uploads.ts';
import { listAuditRoute } from './routes/audit.ts';
import { createKeyRoute, listKeysRoute, revokeKeyRoute } from './routes/keys.ts';
import {
  changeTenantRoute,
  createTenantRoute,
  eraseTenantRoute,
  listTenantsRoute,
  showTenantRoute,
} from './routes/tenants.ts';
import { listPricesRoute, setPricesRoute } from './routes/prices.ts';
import { usageRoute } from './routes/usage.ts';
import type { Services } from './services.ts';
import { Traffic } from './traffic.ts';

export interface AppOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** 8 MiB unless told. */
  readonly maxBodyBytes?: number;
  /** The server listens on a loopback address: see {@link metricsRoute}. */
  readonly isLocal?: boolean;
  /** What a browser gets; undefined: nothing but the API is here. */
  readonly console?: ConsoleFiles | undefined;
  /** Aborts every request that is still being answered. */
  readonly shutdown?: AbortSignal;
  readonly isClosing?: () => boolean;
  /** Told of every request: the promise settles when the request is over, a streamed answer included. */
  readonly track?: (isOver: Promise<void>) => void;
}

/** All routes. A new resource is a file in routes/ and a line here; documentation, 404 and 405 follow from it. */
function allRoutes(metrics: HttpMetrics, traffic: Traffic, isLocal: boolean): Route[] {
  const routes = [
    chatCompletionsRoute,
    completionsRoute,
    embeddingsRoute,
    classifyRoute,
    listModelsRoute,
    showModelRoute,
    loadLoraAdapterRoute,
    unloadLoraAdapterRoute,
    listLoraAdaptersRoute,
    deleteLoraAdapterRoute,
    createFileRoute,
    listFilesRoute,
    showFileRoute,
    deleteFileRoute,
    fileContentRoute,
    createUploadRoute,
    addUploadPartRoute,
    completeUploadRoute,
    cancelUploadRoute,
    checkDataRoute,
    createJobRoute,
    listJobsRoute,
    showJobRoute,
    ...jobCommandRoutes,
    listJobEventsRoute,
    listJobCheckpointsRoute,
    listAdaptersRoute,
    showAdapterRoute,
    listTaskRoutesRoute,
    showTaskRouteRoute,
    setTaskRouteRoute,
    promoteRoute,
    rollbackRoute,
    ...deliveryRoutes,
    listTenantsRoute,
    showTenantRoute,
    changeTenantRoute,
    createTenantRoute,
    eraseTenantRoute,
    listKeysRoute,
    createKeyRoute,
    revokeKeyRoute,
    usageRoute,
    listPricesRoute,
    setPricesRoute,
    listAuditRoute,
    sessionRoute,
    trafficRoute(traffic),
    healthRoute,
    readyRoute,
    metricsRoute(metrics, isLocal),
  ];
  return [...routes, openApiRoute(routes)];
}

/** The HTTP face as a function from a request to a response: `app.fetch(request)`. */
export function createApp(services: Services, options: AppOptions): Hono {
  const app = new Hono();
  const metrics = new HttpMetrics();
  const traffic = new Traffic(options.clock ?? systemClock);
  const routes = allRoutes(metrics, traffic, options.isLocal ?? false);
  const answer = createAnswer(services, metrics, traffic, options);
  for (const route of routes) {
    app.on(route.method.toUpperCase(), patternOf(route.path), (c) =>
      answer(c, route.path, (context) => handleBy(route, context)),
    );
  }
  // Behind all of them, so that only methods without a route come here.
  for (const path of new Set(routes.map((route) => route.path))) {
    const allowed = routes.filter((route) => route.path === path).map(({ method }) => method.toUpperCase());
    app.all(patternOf(path), (c) => answer(c, path, ({ request }) => refuseMethod(request, allowed)));
  }
  // Pages are no part of the API: the description does not have them.
  for (const path of ['/', '/console', '/console/*']) {
    app.get(path, (c) => answer(c, 'console', ({ request }) => consoleResponse(options.console, request)));
  }
  app.notFound((c) => answer(c, 'unmatched', ({ request }) => refusePath(request)));
  return app;
}

function handleBy(route: Route, context: RequestContext): Response | Promise<Response> {
  if (route.access === 'open') return route.handle(context);
  const principal = authenticate(context.services, context.request);
  context.identify(principal);
  return route.handle({ ...context, principal });
}

/** `/v1/models/{model}` as the router writes it. The name of a model or adapter at the end takes slashes too. */
function patternOf(path: string): string {
  return path.replace(/\{(model|name)\}$/, ':$1{.+}').replaceAll(/\{(\w+)\}/g, ':$1');
}

function refuseMethod({ method, url }: Request, allowed: readonly string[]): never {
  throw new HttpError(
    405,
    'method_not_allowed',
    `${new URL(url).pathname} takes ${allowed.join(', ')}, not ${method}`,
    {
      Allow: allowed.join(', '),
    },
  );
}

function refusePath({ method, url }: Request): never {
  throw new HttpError(404, 'unknown_url', `no route for ${method} ${new URL(url).pathname}: see /openapi.json`);
}
