import { errorDocs, jsonContent, type Route } from '../route.ts';
import type { Traffic } from '../traffic.ts';
import { traffic as schema, trafficOf } from '../wire/traffic.ts';

export function trafficRoute(traffic: Traffic): Route {
  return {
    method: 'get',
    path: '/api/traffic',
    access: 'key',
    doc: {
      summary:
        'Requests to models in the last hour, as this process has seen them: a tenant’s own, for the operator all',
      operationId: 'getTraffic',
      responses: { 200: jsonContent('By interval', schema), ...errorDocs({ 401: 'The API key is missing or wrong' }) },
    },
    handle: ({ principal, clock }) => Response.json(trafficOf(traffic, principal.tenant, clock.epochMs())),
  };
}
