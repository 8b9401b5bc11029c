import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { taggedJson } from '../entity-tag.ts';
import { requireWriter } from '../role.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import {
  loadLoraAdapterRequest,
  loraAdapterList,
  residenceOf,
  tierOf,
  unloadedLoraAdapter,
  unloadedOf,
  unloadLoraAdapterRequest,
} from '../wire/lora-adapters.ts';

const DEFAULT_LISTED = 100;
const MAX_LISTED = 10_000;

const text = (description: string) => ({ description, content: { 'text/plain': { schema: z.string() } } });
const errors = errorDocs({
  400: 'The body is malformed, the name is taken, or lora_path is no reference of the registry',
  401: 'The API key is missing or wrong',
  403: 'The key may ask models only',
  404: 'The adapter is unknown, or is another tenant’s',
  413: 'The body is too large',
  429: 'The tenant has as many requests as it may, or as many bytes as may stay in memory are taken',
  503: 'The adapter cannot be loaded',
});

/** vLLM's body and answer. A name is the tenant's own, and its adapter stays in memory until it is unloaded. */
export const loadLoraAdapterRoute: Route = {
  method: 'post',
  path: '/v1/load_lora_adapter',
  access: 'key',
  doc: {
    summary: 'Load an adapter of the registry under a name, and keep it in memory',
    operationId: 'loadLoraAdapter',
    request: { body: { required: true, content: { 'application/json': { schema: loadLoraAdapterRequest } } } },
    responses: { 200: text('It is ready'), ...errors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const body = parseBody(loadLoraAdapterRequest, await readJson(request, maxBodyBytes));
    using _admission = services.admit(principal);
    const { lora_name: name, lora_path: reference, load_inplace } = body;
    await services.adapters.load(principal, { name, reference, isInPlace: load_inplace ?? false });
    return new Response(`Success: LoRA adapter '${name}' added successfully.`);
  },
};

/** vLLM's body and answer; the bytes that were freed are in a header, since its text has no place for them. */
export const unloadLoraAdapterRoute: Route = {
  method: 'post',
  path: '/v1/unload_lora_adapter',
  access: 'key',
  doc: {
    summary: 'Forget a name and free its adapter’s memory',
    operationId: 'unloadLoraAdapter',
    request: { body: { required: true, content: { 'application/json': { schema: unloadLoraAdapterRequest } } } },
    responses: { 200: text('It is unloaded; X-Freed-Bytes says how much memory that gave back'), ...errors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const { lora_name: name } = parseBody(unloadLoraAdapterRequest, await readJson(request, maxBodyBytes));
    const { freedBytes } = await services.adapters.unload(principal, name);
    const headers = { 'X-Freed-Bytes': String(freedBytes) };
    return new Response(`Success: LoRA adapter '${name}' removed successfully.`, { headers });
  },
};

/** The same with everything that there is to say, as JSON. */
export const deleteLoraAdapterRoute: Route = {
  method: 'delete',
  path: '/v1/lora_adapters/{name}',
  access: 'key',
  doc: {
    summary: 'Forget a name and free its adapter’s memory',
    operationId: 'deleteLoraAdapter',
    request: { params: z.object({ name: z.string() }) },
    responses: { 200: jsonContent('It is unloaded', unloadedLoraAdapter), ...errors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, params } = context;
    const { name } = params;
    assert(name !== undefined, 'the path has its parameter');
    return Response.json(unloadedOf(name, await services.adapters.unload(principal, name)));
  },
};

/** For routers: which adapters are warm here. A tenant sees its own, the operator all. */
export const listLoraAdaptersRoute: Route = {
  method: 'get',
  path: '/v1/lora_adapters',
  access: 'key',
  doc: {
    summary: 'List the adapters in memory, the latest comers first',
    operationId: 'listLoraAdapters',
    request: { query: z.object({ limit: z.coerce.number().int().min(1).max(MAX_LISTED).optional() }) },
    responses: {
      200: jsonContent('The adapters; ETag says whether they have changed', loraAdapterList),
      304: { description: 'They are as If-None-Match has them' },
      ...errorDocs({ 400: 'limit is no number', 401: 'The API key is missing or wrong' }),
    },
  },
  async handle({ services, principal, request }) {
    const query = z.strictObject({ limit: z.coerce.number().int().min(1).max(MAX_LISTED).default(DEFAULT_LISTED) });
    const { limit } = parseBody(query, Object.fromEntries(new URL(request.url).searchParams));
    const residences = await services.adapters.list(principal, limit);
    const list = { object: 'list', data: residences.map(residenceOf) };
    if (principal.tenant !== null) return taggedJson(request, list);
    const { ready, host } = await services.adapters.tiers();
    return taggedJson(request, { ...list, tiers: { ready: tierOf(ready), host: tierOf(host) } });
  },
};
