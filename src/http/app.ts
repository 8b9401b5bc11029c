import { Hono } from 'hono';
import type { Clock, Log } from '../base/index.ts';
import { createAnswer } from './answer.ts';
import { authenticate } from './auth.ts';
import { HttpError } from './error-response.ts';
import { HttpMetrics } from './http-metrics.ts';
import type { RequestContext, Route } from './route.ts';
import { chatCompletionsRoute } from './routes/chat-completions.ts';
import { completionsRoute } from './routes/completions.ts';
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
import {
  listTaskRoutesRoute,
  promoteRoute,
  rollbackRoute,
  setTaskRouteRoute,
  showTaskRouteRoute,
} from './routes/task-routes.ts';
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
import { usageRoute } from './routes/usage.ts';
import type { Services } from './services.ts';

export interface AppOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** 8 MiB unless told. */
  readonly maxBodyBytes?: number;
  /** The server listens on a loopback address: see {@link metricsRoute}. */
  readonly isLocal?: boolean;
  /** Aborts every request that is still being answered. */
  readonly shutdown?: AbortSignal;
  readonly isClosing?: () => boolean;
  /** Told of every request: the promise settles when the request is over, a streamed answer included. */
  readonly track?: (isOver: Promise<void>) => void;
}

/** All routes. A new resource is a file in routes/ and a line here; documentation, 404 and 405 follow from it. */
function allRoutes(metrics: HttpMetrics, isLocal: boolean): Route[] {
  const routes = [
    chatCompletionsRoute,
    completionsRoute,
    embeddingsRoute,
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
    createJobRoute,
    listJobsRoute,
    showJobRoute,
    ...jobCommandRoutes,
    listJobEventsRoute,
    listJobCheckpointsRoute,
    listTaskRoutesRoute,
    showTaskRouteRoute,
    setTaskRouteRoute,
    promoteRoute,
    rollbackRoute,
    listTenantsRoute,
    showTenantRoute,
    changeTenantRoute,
    createTenantRoute,
    eraseTenantRoute,
    listKeysRoute,
    createKeyRoute,
    revokeKeyRoute,
    usageRoute,
    listAuditRoute,
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
  const routes = allRoutes(metrics, options.isLocal ?? false);
  const answer = createAnswer(services, metrics, options);
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
