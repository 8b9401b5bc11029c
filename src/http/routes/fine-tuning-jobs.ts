import { z } from '@hono/zod-openapi';
import { assert, fail } from '../../base/index.ts';
import type { JobCommand } from '../../jobs/index.ts';
import { parseBody, readJson } from '../body.ts';
import { requireWriter } from '../role.ts';
import { errorDocs, jsonContent, type KeyedContext, type Route } from '../route.ts';
import {
  checkpointList,
  checkpointOf,
  createJobRequest,
  eventList,
  eventOf,
  jobList,
  jobObject,
  jobOf,
  jobRequestOf,
} from '../wire/fine-tuning.ts';
import { pageQuery, parseQuery } from '../wire/page.ts';

const MAX_LISTED = 100;
const MAX_EVENTS = 10_000;
const params = z.object({ fine_tuning_job_id: z.string() });
const errors = errorDocs({
  400: 'The request is malformed, or the job’s state does not let it',
  401: 'The API key is missing or wrong',
  403: 'The key may ask models only',
  404: 'The job, the file or the model is unknown, or is another tenant’s',
});

export const createJobRoute: Route = {
  method: 'post',
  path: '/v1/fine_tuning/jobs',
  access: 'key',
  doc: {
    summary: 'Fine-tune the base on a file',
    operationId: 'createFineTuningJob',
    request: { body: { required: true, content: { 'application/json': { schema: createJobRequest } } } },
    responses: {
      200: jsonContent('It is queued', jobObject),
      ...errors,
      ...errorDocs({ 413: 'The body is too large' }),
    },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const asked = jobRequestOf(parseBody(createJobRequest, await readJson(request, maxBodyBytes)));
    if ('problem' in asked) return fail('REQUEST_INVALID', asked.problem, { param: 'method' });
    return Response.json(jobOf(services.jobs.create(principal, asked)));
  },
};

export const listJobsRoute: Route = {
  method: 'get',
  path: '/v1/fine_tuning/jobs',
  access: 'key',
  doc: {
    summary: 'List fine-tuning jobs, the latest first',
    operationId: 'listPaginatedFineTuningJobs',
    request: {
      query: z.object({
        ...pageQuery(20, MAX_LISTED),
        metadata: z.string().optional().openapi({ description: 'As metadata[key]=value: only jobs that have it.' }),
      }),
    },
    responses: { 200: jsonContent('One page', jobList), ...errors },
  },
  handle({ services, principal, request }) {
    const url = new URL(request.url);
    const filter: [key: string, value: string][] = [];
    for (const [name, value] of new URL(request.url).searchParams) {
      const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
      if (key === undefined) continue;
      filter.push([key, value]);
      url.searchParams.delete(name);
    }
    // OpenAI's way to ask for jobs without metadata.
    const isNone = url.searchParams.get('metadata') === 'null';
    if (isNone) url.searchParams.delete('metadata');
    const metadata = isNone ? null : Object.fromEntries(filter);
    const page = parseQuery(z.strictObject(pageQuery(20, MAX_LISTED)), new Request(url));
    const { items, hasMore } = services.jobs.list(principal, { ...page, metadata });
    return Response.json({ object: 'list', data: items.map(jobOf), has_more: hasMore });
  },
};

export const showJobRoute: Route = {
  method: 'get',
  path: '/v1/fine_tuning/jobs/{fine_tuning_job_id}',
  access: 'key',
  doc: {
    summary: 'Show a fine-tuning job',
    operationId: 'retrieveFineTuningJob',
    request: { params },
    responses: { 200: jsonContent('The job', jobObject), ...errors },
  },
  handle: (context) => Response.json(jobOf(context.services.jobs.get(context.principal, idOf(context)))),
};

const commandRoute = (command: JobCommand, operationId: string, summary: string): Route => ({
  method: 'post',
  path: `/v1/fine_tuning/jobs/{fine_tuning_job_id}/${command}`,
  access: 'key',
  doc: {
    summary,
    operationId,
    request: { params },
    responses: { 200: jsonContent('The job', jobObject), ...errors },
  },
  handle(context) {
    requireWriter(context);
    return Response.json(jobOf(context.services.jobs.command(context.principal, idOf(context), command)));
  },
});

export const jobCommandRoutes: readonly Route[] = [
  commandRoute('cancel', 'cancelFineTuningJob', 'Give a job up'),
  commandRoute('pause', 'pauseFineTuningJob', 'Stop a job at its next step, to go on later'),
  commandRoute('resume', 'resumeFineTuningJob', 'Let a paused job go on'),
];

const eventQuery = z.strictObject({
  ...pageQuery(20, MAX_EVENTS),
  metrics: z.enum(['all', 'thinned']).default('all').openapi({
    description:
      '`thinned`: of a long job’s steps the newest 1,000, and of those before an even choice of at most 2,000, and of at most 2,000 that were evaluated.',
  }),
});
export const listJobEventsRoute: Route = {
  method: 'get',
  path: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/events',
  access: 'key',
  doc: {
    summary: 'List what has happened to a job, the latest first',
    operationId: 'listFineTuningEvents',
    request: { params, query: eventQuery },
    responses: { 200: jsonContent('One page', eventList), ...errors },
  },
  handle(context) {
    const page = parseQuery(eventQuery, context.request);
    const { items, hasMore } = context.services.jobs.events(context.principal, idOf(context), page);
    return Response.json({ object: 'list', data: items.map(eventOf), has_more: hasMore });
  },
};

const checkpointQuery = z.strictObject(pageQuery(10, MAX_LISTED));
export const listJobCheckpointsRoute: Route = {
  method: 'get',
  path: '/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints',
  access: 'key',
  doc: {
    summary: 'List the checkpoints of a job that can be asked, the latest first',
    operationId: 'listFineTuningJobCheckpoints',
    request: { params, query: checkpointQuery },
    responses: { 200: jsonContent('One page', checkpointList), ...errors },
  },
  handle(context) {
    const { limit, after } = parseQuery(checkpointQuery, context.request);
    const { items, hasMore } = context.services.jobs.checkpoints(context.principal, idOf(context), limit, after);
    const data = items.map(checkpointOf);
    const ends = { first_id: data.at(0)?.id ?? null, last_id: data.at(-1)?.id ?? null };
    return Response.json({ object: 'list', data, ...ends, has_more: hasMore });
  },
};

function idOf({ params: { fine_tuning_job_id: id } }: KeyedContext): string {
  assert(id !== undefined, 'the path has its parameter');
  return id;
}
