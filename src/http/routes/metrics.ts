import { z } from '@hono/zod-openapi';
import { authenticate } from '../auth.ts';
import { HttpError } from '../error-response.ts';
import type { HttpMetrics } from '../http-metrics.ts';
import { errorDocs, type Route } from '../route.ts';

/**
 * Prometheus' text. Its series tell of every tenant, so it is for the operator: an operator's key, or none at all when the server
 * listens on this machine only and no proxy has passed the request on.
 * @param isLocal the server listens on a loopback address
 */
export function metricsRoute(metrics: HttpMetrics, isLocal: boolean): Route {
  return {
    method: 'get',
    path: '/metrics',
    access: 'open',
    doc: {
      summary: 'Figures for Prometheus: an operator’s key, or a server on a loopback address',
      operationId: 'getMetrics',
      responses: {
        200: { description: 'The series', content: { 'text/plain': { schema: z.string() } } },
        ...errorDocs({ 401: 'The API key is missing or wrong', 403: 'The key is a tenant’s' }),
      },
    },
    async handle({ request, services }) {
      if (!isLocal || isForwarded(request) || request.headers.has('authorization')) {
        const principal = authenticate(services, request);
        if (principal.tenant !== null) throw new HttpError(403, 'operator_only', 'metrics are for the operator’s key');
      }
      const text = (await metrics.text()) + (await services.metricsText());
      return new Response(text, { headers: { 'Content-Type': metrics.contentType } });
    },
  };
}

function isForwarded({ headers }: Request): boolean {
  return headers.has('forwarded') || headers.has('x-forwarded-for') || headers.has('x-real-ip');
}
