import { z } from '@hono/zod-openapi';
import { HttpError } from '../error-response.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';

const status = z.enum(['ok', 'unavailable']);
const health = z.object({ status }).openapi('Health');
const readiness = z
  .object({ status, bases: z.record(z.string(), status).openapi({ description: 'By the name of each base.' }) })
  .openapi('Readiness');

export const healthRoute: Route = {
  method: 'get',
  path: '/healthz',
  access: 'open',
  doc: {
    summary: 'Whether the process is alive',
    operationId: 'getHealth',
    responses: { 200: jsonContent('It is', health) },
  },
  handle: () => Response.json({ status: 'ok' }),
};

/**
 * Not ready while the engine of every base (or of the one that is asked for) is starting again, after one has failed for good, and from the
 * moment the server is told to close.
 */
export const readyRoute: Route = {
  method: 'get',
  path: '/readyz',
  access: 'open',
  doc: {
    summary: 'Whether requests can be answered now, by any base or by one',
    operationId: 'getReadiness',
    request: { query: z.object({ base: z.string().optional() }) },
    responses: {
      200: jsonContent('They can', readiness),
      503: jsonContent('They cannot', readiness),
      ...errorDocs({ 404: 'The server has no such base' }),
    },
  },
  handle(context) {
    const { services, request } = context;
    const bases = services.bases();
    const name = new URL(request.url).searchParams.get('base');
    const asked = name === null ? bases : bases.filter((base) => base.name === name);
    if (asked.length === 0) throw new HttpError(404, 'model_not_found', `this server has no base "${name}"`);
    const textOf = (isUp: boolean) => (isUp ? 'ok' : 'unavailable');
    const isReady = !context.isClosing() && asked.some((base) => base.isReady);
    const body = {
      status: textOf(isReady),
      bases: Object.fromEntries(bases.map((base) => [base.name, textOf(base.isReady)])),
    };
    return isReady ? Response.json(body) : Response.json(body, { status: 503, headers: { 'Retry-After': '1' } });
  },
};
