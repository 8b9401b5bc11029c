import type { Context } from 'hono';
import { EspalierError, errorMessage, newId, systemClock } from '../base/index.ts';
import type { AppOptions } from './app.ts';
import { errorResponse, isInternal, wireError } from './error-response.ts';
import type { HttpMetrics } from './http-metrics.ts';
import { rateHeaders } from './rate-headers.ts';
import type { RequestContext } from './route.ts';
import type { Services } from './services.ts';
import type { Traffic } from './traffic.ts';
import type { Principal } from '../tenancy/index.ts';

const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** Where models are asked. */
const MODEL_ROUTES = new Set(['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/classify']);
const CLIENT_GONE = 499;

/** Answers a request by a handler, whatever the handler does, and accounts for it when its last byte is out. */
export type Answer = (
  c: Context,
  label: string,
  handle: (context: RequestContext) => Response | Promise<Response>,
) => Promise<Response>;

export function createAnswer(services: Services, metrics: HttpMetrics, traffic: Traffic, options: AppOptions): Answer {
  const { log, clock = systemClock, maxBodyBytes = MAX_BODY_BYTES, shutdown, isClosing = () => false } = options;
  return async (c, label, handle) => {
    const request = c.req.raw;
    const requestId = requestIdOf(request);
    const begunMs = clock.nowMs();
    const { promise: isOver, resolve: finish } = Promise.withResolvers<void>();
    let end = Promise.resolve();
    const notes: Record<string, unknown> = {};
    let principal: Principal | undefined;
    let hasFailed = false;
    metrics.begin();
    options.track?.(isOver);

    const reportFailure = (error: unknown): void => {
      const told = wireError(error, requestId);
      hasFailed ||= told.status !== CLIENT_GONE;
      const fields = { requestId, route: label, ...notes, ...errorFields(error) };
      // Where in the program a client's mistake was found helps nobody.
      if (isInternal(told))
        log.error({ ...fields, stack: error instanceof Error ? error.stack : undefined }, 'a request failed');
      else log.info(fields, 'a request was refused');
    };
    const context: RequestContext = {
      request,
      params: c.req.param(),
      requestId,
      signal: shutdown ? AbortSignal.any([request.signal, shutdown]) : request.signal,
      services,
      clock,
      maxBodyBytes,
      isClosing,
      until(promise) {
        end = promise;
      },
      identify(asking) {
        principal = asking;
        Object.assign(notes, { tenant: asking.tenant, keyId: asking.keyId });
      },
      note: (fields) => void Object.assign(notes, fields),
      reportFailure,
    };

    let response: Response;
    try {
      response = await handle(context);
    } catch (thrown) {
      const error = asCancelled(thrown, request.signal);
      reportFailure(error);
      response = errorResponse(wireError(error, requestId));
    }
    response.headers.set('X-Request-Id', requestId);
    if (principal) {
      for (const [name, value] of Object.entries(rateHeaders(services.rates(principal)))) {
        response.headers.set(name, value);
      }
    }
    // A connection that is kept alive would hold up the closing.
    if (isClosing()) response.headers.set('Connection', 'close');
    void end.then(() => {
      const seconds = (clock.nowMs() - begunMs) / 1000;
      metrics.end(request.method, label, response.status, seconds);
      if (request.method === 'POST' && MODEL_ROUTES.has(label)) {
        traffic.add({ tenant: principal?.tenant ?? null, hasFailed, seconds, ...figuresOf(notes) });
      }
      const line = { requestId, method: request.method, route: label, status: response.status, seconds };
      log.info({ ...line, ...notes }, 'request');
      finish();
    });
    return response;
  };
}

/** What a model's answer noted of itself. */
function figuresOf(notes: Readonly<Record<string, unknown>>) {
  const figure = (name: string): number | null => {
    const value = notes[name];
    return typeof value === 'number' ? value : null;
  };
  return {
    firstTokenSeconds: figure('firstTokenSeconds'),
    promptTokens: figure('promptTokens') ?? 0,
    cachedTokens: figure('cachedTokens') ?? 0,
    completionTokens: figure('completionTokens') ?? 0,
  };
}

/** The client's own name for its request, if it is one that a log can hold; else a new one. */
function requestIdOf({ headers }: Request): string {
  const given = headers.get('x-request-id');
  return given !== null && /^[\w.:-]{1,128}$/.test(given) ? given : newId('req_');
}

/** A client that goes while its body is being read makes the reading fail in the runtime's own words. */
function asCancelled(error: unknown, left: AbortSignal): unknown {
  if (!left.aborted || error instanceof EspalierError) return error;
  return new EspalierError('CANCELLED', 'the client has gone', { cause: error });
}

function errorFields(error: unknown): Record<string, unknown> {
  const fields = { error: errorMessage(error) };
  return error instanceof EspalierError ? { ...fields, code: error.code, cause: error.cause } : fields;
}
