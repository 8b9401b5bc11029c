import { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Route } from '../route.ts';

const API_VERSION = '1.0.0';

/** The description of all routes, this one too, generated once from the schemas that check the requests. */
export function openApiRoute(others: readonly Route[]): Route {
  let text: string | undefined;
  const route: Route = {
    method: 'get',
    path: '/openapi.json',
    access: 'open',
    doc: {
      summary: 'This description',
      operationId: 'getOpenApi',
      responses: {
        200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: z.looseObject({}) } } },
      },
    },
    handle() {
      text ??= JSON.stringify(describe([...others, route]));
      return new Response(text, { headers: { 'Content-Type': 'application/json' } });
    },
  };
  return route;
}

function describe(routes: readonly Route[]): object {
  const app = new OpenAPIHono();
  const scheme = app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', { type: 'http', scheme: 'bearer' });
  for (const { method, path, access, doc } of routes) {
    const security = access === 'key' ? [{ [scheme.name]: [] }] : [];
    app.openAPIRegistry.registerPath({ ...doc, method, path, security });
  }
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Espalier',
      version: API_VERSION,
      description: 'One base model, many adapters. The shapes are OpenAI’s; the adapter is picked by model or task.',
    },
  });
}
