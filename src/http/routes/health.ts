import { z } from '@hono/zod-openapi';
import { jsonContent, type Route } from '../route.ts';

const health = z.object({ status: z.enum(['ok', 'unavailable']) }).openapi('Health');

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

/** Not ready while the base is loading, after the engine has failed, and from the moment the server is told to close. */
export const readyRoute: Route = {
  method: 'get',
  path: '/readyz',
  access: 'open',
  doc: {
    summary: 'Whether requests can be answered now',
    operationId: 'getReadiness',
    responses: { 200: jsonContent('They can', health), 503: jsonContent('They cannot', health) },
  },
  handle(context) {
    return context.isReady()
      ? Response.json({ status: 'ok' })
      : Response.json({ status: 'unavailable' }, { status: 503, headers: { 'Retry-After': '1' } });
  },
};
