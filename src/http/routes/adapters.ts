import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import { adapterList, adapterOf, adapterQuery, adapterWithHistory, adapterWithHistoryOf } from '../wire/adapters.ts';
import { parseQuery } from '../wire/page.ts';

export const listAdaptersRoute: Route = {
  method: 'get',
  path: '/api/adapters',
  access: 'key',
  doc: {
    summary: 'List the published versions, with their scores and where they came from',
    operationId: 'listAdapters',
    request: { query: adapterQuery },
    responses: {
      200: jsonContent('The versions, in the order of their names', adapterList),
      ...errorDocs({
        400: 'The query is malformed',
        401: 'The API key is missing or wrong',
        404: 'The tenant is unknown, or is not the key’s own',
      }),
    },
  },
  handle({ services, principal, request }) {
    const { tenant = null, q, tag, limit, after } = parseQuery(adapterQuery, request);
    // One more than asked, to know whether there are more.
    const found = services.catalogue.list(principal, tenant, { text: q, tag, after, limit: limit + 1 });
    const data = found.slice(0, limit).map(adapterOf);
    return Response.json({ object: 'list', data, has_more: found.length > limit });
  },
};

export const showAdapterRoute: Route = {
  method: 'get',
  path: '/api/adapters/{name}',
  access: 'key',
  doc: {
    summary: 'Show a published version, and how its task’s alias latest has moved',
    operationId: 'retrieveAdapter',
    request: {
      params: z.object({ name: z.string().openapi({ description: 'TENANT/TASK, TENANT/TASK@VERSION, sha256:….' }) }),
    },
    responses: {
      200: jsonContent('The version', adapterWithHistory),
      ...errorDocs({ 401: 'The API key is missing or wrong', 404: 'It is unknown, or is another tenant’s' }),
    },
  },
  handle({ services, principal, params: { name } }) {
    assert(name !== undefined, 'the path has its parameter');
    return Response.json(adapterWithHistoryOf(services.catalogue.show(principal, name)));
  },
};
