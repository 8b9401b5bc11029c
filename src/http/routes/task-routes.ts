import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { requireAdmin, requireWriter } from '../role.ts';
import { errorDocs, jsonContent, type KeyedContext, type Route } from '../route.ts';
import {
  promoteRequest,
  rollbackRequest,
  routeOf,
  routeRequest,
  taskRoute,
  taskRouteList,
} from '../wire/task-routes.ts';

const params = z.object({ task: z.string() });
export const routeErrors = errorDocs({
  400: 'The body is malformed, or a version is not there',
  401: 'The API key is missing or wrong',
  403: 'The key may ask models only',
  404: 'The tenant has no such task, or it has nothing of the kind',
  409: 'The task’s gate does not let the version through',
  413: 'The body is too large',
});
const json = (schema: z.ZodType) => ({ required: true, content: { 'application/json': { schema } } });

export const listTaskRoutesRoute: Route = {
  method: 'get',
  path: '/api/routes',
  access: 'key',
  doc: {
    summary: 'List who answers the tasks of the key’s tenant',
    operationId: 'listTaskRoutes',
    responses: { 200: jsonContent('The routes', taskRouteList), ...routeErrors },
  },
  handle: ({ services, principal }) =>
    Response.json({ object: 'list', data: services.tasks.list(principal).map(routeOf) }),
};

export const showTaskRouteRoute: Route = {
  method: 'get',
  path: '/api/routes/{task}',
  access: 'key',
  doc: {
    summary: 'Show who answers a task',
    operationId: 'retrieveTaskRoute',
    request: { params },
    responses: { 200: jsonContent('The route', taskRoute), ...routeErrors },
  },
  handle: (context) => Response.json(routeOf(context.services.tasks.get(context.principal, taskOf(context)))),
};

export const setTaskRouteRoute: Route = {
  method: 'post',
  path: '/api/routes/{task}',
  access: 'key',
  doc: {
    summary: 'Split a task between versions; it holds from the next request on',
    operationId: 'setTaskRoute',
    request: { params, body: json(routeRequest) },
    responses: { 200: jsonContent('The route', taskRoute), ...routeErrors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const { split } = parseBody(routeRequest, await readJson(request, maxBodyBytes));
    return Response.json(routeOf(services.tasks.setSplit(principal, taskOf(context), split)));
  },
};

export const promoteRoute: Route = {
  method: 'post',
  path: '/api/routes/{task}/promote',
  access: 'key',
  doc: {
    summary: 'Point an alias of a task at a version, if the task’s gate lets it; it holds from the next request on',
    operationId: 'promoteTask',
    request: { params, body: json(promoteRequest) },
    responses: { 200: jsonContent('The route', taskRoute), ...routeErrors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const { version, alias, gate } = parseBody(promoteRequest, await readJson(request, maxBodyBytes));
    if (!gate) requireAdmin(context);
    return Response.json(routeOf(await services.tasks.promote(principal, taskOf(context), version, alias, gate)));
  },
};

export const rollbackRoute: Route = {
  method: 'post',
  path: '/api/routes/{task}/rollback',
  access: 'key',
  doc: {
    summary: 'Point an alias of a task at what it pointed at before; it holds from the next request on',
    operationId: 'rollbackTask',
    request: { params, body: json(rollbackRequest) },
    responses: { 200: jsonContent('The route', taskRoute), ...routeErrors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const { alias } = parseBody(rollbackRequest, await readJson(request, maxBodyBytes));
    return Response.json(routeOf(services.tasks.rollback(principal, taskOf(context), alias)));
  },
};

export function taskOf({ params: { task } }: KeyedContext): string {
  assert(task !== undefined, 'the path has its parameter');
  return task;
}
