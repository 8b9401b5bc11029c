import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { requireAdmin } from '../role.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import { apiKey, apiKeyList, askedKey, createKeyRequest, keyOf, newApiKey } from '../wire/keys.ts';
import { parseQuery } from '../wire/page.ts';

const errors = errorDocs({ 401: 'The API key is missing or wrong', 403: 'The key is no admin’s' });
const query = z.strictObject({
  tenant: z.string().optional().openapi({ description: 'For the operator: only this tenant’s.' }),
});

export const listKeysRoute: Route = {
  method: 'get',
  path: '/api/keys',
  access: 'key',
  doc: {
    summary: 'List API keys, without their secrets: for a tenant’s admin its own, for the operator all',
    operationId: 'listApiKeys',
    request: { query },
    responses: {
      200: jsonContent('The keys, oldest first', apiKeyList),
      ...errors,
      ...errorDocs({ 400: 'The query is malformed' }),
    },
  },
  handle(context) {
    requireAdmin(context);
    const { tenant } = parseQuery(query, context.request);
    return Response.json({ object: 'list', data: context.services.keys.list(context.principal, tenant).map(keyOf) });
  },
};

export const createKeyRoute: Route = {
  method: 'post',
  path: '/api/keys',
  access: 'key',
  doc: {
    summary: 'Make an API key; its secret is in the answer and nowhere else',
    operationId: 'createApiKey',
    request: { body: { required: true, content: { 'application/json': { schema: createKeyRequest } } } },
    responses: {
      200: jsonContent('The key', newApiKey),
      ...errors,
      ...errorDocs({
        400: 'The body is malformed, or the expiry is past',
        404: 'There is no such tenant, or it is not the key’s own',
        413: 'The body is too large',
      }),
    },
  },
  async handle(context) {
    requireAdmin(context);
    const { services, principal, request, maxBodyBytes } = context;
    const body = parseBody(createKeyRequest, await readJson(request, maxBodyBytes));
    const { secret, key } = services.keys.create(principal, askedKey(body));
    return Response.json({ ...keyOf(key), secret }, { headers: { 'Cache-Control': 'no-store' } });
  },
};

/** A key that has been revoked already stays so: asking twice is no error. */
export const revokeKeyRoute: Route = {
  method: 'delete',
  path: '/api/keys/{key_id}',
  access: 'key',
  doc: {
    summary: 'Make an API key useless, at once',
    operationId: 'revokeApiKey',
    request: { params: z.object({ key_id: z.string() }) },
    responses: {
      200: jsonContent('The key as it is now', apiKey),
      ...errors,
      ...errorDocs({ 404: 'It is unknown, or is another tenant’s' }),
    },
  },
  handle(context) {
    requireAdmin(context);
    const { services, principal, params } = context;
    const { key_id: id } = params;
    assert(id !== undefined, 'the path has its parameter');
    return Response.json(keyOf(services.keys.revoke(principal, id)));
  },
};
