import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { HttpError } from '../error-response.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import {
  erasedTenant,
  erasedTenantOf,
  limitsOf,
  newTenant,
  tenant,
  tenantChange,
  tenantList,
  tenantOf,
  tenantWithUsage,
  tenantWithUsageOf,
} from '../wire/tenants.ts';
import { parseQuery } from '../wire/page.ts';

const request = { params: z.object({ tenant: z.string() }) };
const errors = errorDocs({ 401: 'The API key is missing or wrong', 404: 'It is unknown, or is not the key’s own' });

export const listTenantsRoute: Route = {
  method: 'get',
  path: '/api/tenants',
  access: 'key',
  doc: {
    summary: 'List the tenants with their limits: for the operator all, for a tenant itself',
    operationId: 'listTenants',
    responses: {
      200: jsonContent('The tenants', tenantList),
      ...errorDocs({ 401: 'The API key is missing or wrong' }),
    },
  },
  handle({ services, principal }) {
    return Response.json({ object: 'list', data: services.tenants.list(principal).map(tenantOf) });
  },
};

export const showTenantRoute: Route = {
  method: 'get',
  path: '/api/tenants/{tenant}',
  access: 'key',
  doc: {
    summary: 'Show a tenant with its limits, and how much of them is in use',
    operationId: 'getTenant',
    request,
    responses: { 200: jsonContent('The tenant', tenantWithUsage), ...errors },
  },
  handle({ services, principal, params }) {
    const { tenant: found, usage } = services.tenants.show(principal, nameOf(params));
    return Response.json(tenantWithUsageOf(found, usage));
  },
};

/** Counts from the tenant's next request on, here and in every process of this home. */
export const changeTenantRoute: Route = {
  method: 'patch',
  path: '/api/tenants/{tenant}',
  access: 'key',
  doc: {
    summary: 'Change the limits of a tenant',
    operationId: 'changeTenant',
    request: { ...request, body: { required: true, content: { 'application/json': { schema: tenantChange } } } },
    responses: {
      200: jsonContent('The tenant as it is now', tenant),
      ...errors,
      ...errorDocs({ 400: 'A limit is none', 403: 'The key is a tenant’s', 413: 'The body is too large' }),
    },
  },
  async handle({ services, principal, params, request: http, maxBodyBytes }) {
    if (principal.tenant !== null) throw new HttpError(403, 'operator_only', 'limits are set with the operator’s key');
    const change = parseBody(tenantChange, await readJson(http, maxBodyBytes));
    return Response.json(tenantOf(services.tenants.change(principal, nameOf(params), limitsOf(change))));
  },
};

const eraseQuery = z.strictObject({
  erase: z
    .literal('true', 'must be true: with a tenant everything that it has goes')
    .openapi({ description: 'To be sure.' }),
  dry_run: z.enum(['true', 'false']).default('false').openapi({ description: 'Says what would go.' }),
});

/** One that was interrupted goes on when it is asked again, or when a server starts. */
export const eraseTenantRoute: Route = {
  method: 'delete',
  path: '/api/tenants/{tenant}',
  access: 'key',
  doc: {
    summary: 'Erase a tenant: its keys, adapters, files, jobs and checkpoints, and what is cached of it',
    operationId: 'eraseTenant',
    request: { ...request, query: eraseQuery },
    responses: {
      200: jsonContent('What went', erasedTenant),
      ...errors,
      ...errorDocs({
        400: 'The query is malformed',
        403: 'The key is a tenant’s',
        503: 'Something of it is in use: ask again, and it goes on',
      }),
    },
  },
  async handle({ services, principal, params, request: http }) {
    if (principal.tenant !== null)
      throw new HttpError(403, 'operator_only', 'tenants are erased with the operator’s key');
    const { dry_run } = parseQuery(eraseQuery, http);
    return Response.json(erasedTenantOf(await services.tenants.erase(principal, nameOf(params), dry_run === 'true')));
  },
};

export const createTenantRoute: Route = {
  method: 'post',
  path: '/api/tenants',
  access: 'key',
  doc: {
    summary: 'Add a tenant',
    operationId: 'createTenant',
    request: { body: { required: true, content: { 'application/json': { schema: newTenant } } } },
    responses: {
      200: jsonContent('The tenant', tenant),
      ...errorDocs({
        400: 'The name or a limit is none',
        401: 'The API key is missing or wrong',
        403: 'The key is a tenant’s',
        409: 'There is one of that name',
        413: 'The body is too large',
      }),
    },
  },
  async handle({ services, principal, request: http, maxBodyBytes }) {
    if (principal.tenant !== null)
      throw new HttpError(403, 'operator_only', 'tenants are added with the operator’s key');
    const { name, ...limits } = parseBody(newTenant, await readJson(http, maxBodyBytes));
    return Response.json(tenantOf(services.tenants.create(principal, name, limitsOf(limits))));
  },
};

function nameOf({ tenant: name }: Readonly<Record<string, string>>): string {
  assert(name !== undefined, 'the path has its parameter');
  return name;
}
