import { z } from '@hono/zod-openapi';
import { parseBody, readJson } from '../body.ts';
import { requireAdmin, requireWriter } from '../role.ts';
import { jsonContent, type KeyedContext, type Route } from '../route.ts';
import {
  canary,
  canaryOf,
  canaryRequest,
  canarySettingsOf,
  deliveryEvents,
  eventsOf,
  feedback,
  feedbackRequest,
  gate,
  gateOf,
  gateRequest,
  gateRequestOf,
  shadow,
  shadowOf,
  shadowReport,
  shadowReportOf,
  shadowRequest,
} from '../wire/delivery.ts';
import { pageQuery, parseQuery } from '../wire/page.ts';
import { routeErrors, taskOf } from './task-routes.ts';

const params = z.object({ task: z.string() });
const json = (schema: z.ZodType) => ({ required: true, content: { 'application/json': { schema } } });
const bodyOf = async <Schema extends z.ZodType>(
  schema: Schema,
  { request, maxBodyBytes }: KeyedContext,
): Promise<z.output<Schema>> => parseBody(schema, await readJson(request, maxBodyBytes));

const EVENTS = 100;
const MAX_EVENTS = 1000;
const query = z.strictObject({ limit: pageQuery(EVENTS, MAX_EVENTS).limit });

export const deliveryRoutes: readonly Route[] = [
  {
    method: 'post',
    path: '/api/routes/{task}/gate',
    access: 'key',
    doc: {
      summary: 'Set what a version of a task must score before it may answer',
      operationId: 'setGate',
      request: { params, body: json(gateRequest) },
      responses: { 200: jsonContent('The gate', gate), ...routeErrors },
    },
    async handle(context) {
      requireWriter(context);
      const request = gateRequestOf(await bodyOf(gateRequest, context));
      const { services, principal } = context;
      return Response.json(gateOf(await services.delivery.setGate(principal, taskOf(context), request)));
    },
  },
  {
    method: 'delete',
    path: '/api/routes/{task}/gate',
    access: 'key',
    doc: {
      summary: 'Take the gate of a task away',
      operationId: 'deleteGate',
      request: { params },
      responses: {
        200: jsonContent('Done', z.object({ object: z.literal('gate'), deleted: z.literal(true) })),
        ...routeErrors,
      },
    },
    handle(context) {
      requireAdmin(context);
      context.services.delivery.removeGate(context.principal, taskOf(context));
      return Response.json({ object: 'gate', deleted: true });
    },
  },
  {
    method: 'post',
    path: '/api/routes/{task}/canary',
    access: 'key',
    doc: {
      summary: 'Let a version answer a part of a task’s sessions, and watch it',
      operationId: 'startCanary',
      request: { params, body: json(canaryRequest) },
      responses: { 200: jsonContent('The canary', canary), ...routeErrors },
    },
    async handle(context) {
      requireWriter(context);
      const body = await bodyOf(canaryRequest, context);
      if (!body.gate) requireAdmin(context);
      const { services, principal } = context;
      const settings = canarySettingsOf(body);
      const report = await services.delivery.startCanary(principal, taskOf(context), body.version, settings, body.gate);
      return Response.json(canaryOf(report));
    },
  },
  {
    method: 'get',
    path: '/api/routes/{task}/canary',
    access: 'key',
    doc: {
      summary: 'Show the latest canary of a task, with what was counted',
      operationId: 'retrieveCanary',
      request: { params },
      responses: { 200: jsonContent('The canary', canary), ...routeErrors },
    },
    handle: (context) => Response.json(canaryOf(context.services.delivery.canary(context.principal, taskOf(context)))),
  },
  {
    method: 'delete',
    path: '/api/routes/{task}/canary',
    access: 'key',
    doc: {
      summary: 'Stop the canary of a task: the others answer from the next request on',
      operationId: 'stopCanary',
      request: { params },
      responses: { 200: jsonContent('The canary', canary), ...routeErrors },
    },
    handle(context) {
      requireWriter(context);
      const { services, principal } = context;
      services.delivery.stopCanary(principal, taskOf(context));
      return Response.json(canaryOf(services.delivery.canary(principal, taskOf(context))));
    },
  },
  {
    method: 'post',
    path: '/api/routes/{task}/shadow',
    access: 'key',
    doc: {
      summary: 'Ask a version too, beside the one that answers, and compare',
      operationId: 'startShadow',
      request: { params, body: json(shadowRequest) },
      responses: { 200: jsonContent('The shadow', shadow), ...routeErrors },
    },
    async handle(context) {
      requireWriter(context);
      const { version, share } = await bodyOf(shadowRequest, context);
      const { services, principal } = context;
      return Response.json(shadowOf(services.delivery.startShadow(principal, taskOf(context), version, share)));
    },
  },
  {
    method: 'get',
    path: '/api/routes/{task}/shadow',
    access: 'key',
    doc: {
      summary: 'Compare the answers of a task’s latest shadow with those that were given',
      operationId: 'retrieveShadowReport',
      request: { params },
      responses: { 200: jsonContent('The report', shadowReport), ...routeErrors },
    },
    handle: (context) =>
      Response.json(shadowReportOf(context.services.delivery.shadowReport(context.principal, taskOf(context)))),
  },
  {
    method: 'delete',
    path: '/api/routes/{task}/shadow',
    access: 'key',
    doc: {
      summary: 'Ask the shadow of a task no more',
      operationId: 'stopShadow',
      request: { params },
      responses: { 200: jsonContent('The report', shadowReport), ...routeErrors },
    },
    handle(context) {
      requireWriter(context);
      const { services, principal } = context;
      services.delivery.stopShadow(principal, taskOf(context));
      return Response.json(shadowReportOf(services.delivery.shadowReport(principal, taskOf(context))));
    },
  },
  {
    method: 'get',
    path: '/api/routes/{task}/events',
    access: 'key',
    doc: {
      summary: 'List what was done about who answers a task, by keys and by rules, the latest first',
      operationId: 'listDeliveryEvents',
      request: { params, query },
      responses: { 200: jsonContent('The events', deliveryEvents), ...routeErrors },
    },
    handle(context) {
      const { limit } = parseQuery(query, context.request);
      return Response.json(eventsOf(context.services.delivery.events(context.principal, taskOf(context), limit)));
    },
  },
  {
    method: 'post',
    path: '/api/feedback',
    access: 'key',
    doc: {
      summary: 'Score an answer of a task that has a canary',
      operationId: 'scoreAnswer',
      request: { body: json(feedbackRequest) },
      responses: { 200: jsonContent('The score', feedback), ...routeErrors },
    },
    async handle(context) {
      const { request_id, score } = await bodyOf(feedbackRequest, context);
      context.services.delivery.score(context.principal, request_id, score);
      return Response.json({ object: 'feedback', request_id, score });
    },
  },
];
