import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { readFileForm } from '../form.ts';
import { errorDocs, jsonContent, type KeyedContext, type Route } from '../route.ts';
import { requireWriter } from '../role.ts';
import { deletedFile, fieldsOf, fileFields, fileForm, fileList, fileObject, fileOf } from '../wire/files.ts';
import { pageQuery, parseQuery } from '../wire/page.ts';

const MAX_LISTED = 10_000;
const params = z.object({ file_id: z.string() });
const errors = errorDocs({
  401: 'The API key is missing or wrong',
  403: 'The key may ask models only',
  404: 'The file is unknown, or is another tenant’s',
});
const query = z.strictObject({
  ...pageQuery(MAX_LISTED, MAX_LISTED),
  order: z.enum(['asc', 'desc']).default('desc'),
  purpose: z.enum(['fine-tune', 'fine-tune-results']).optional(),
});

export const createFileRoute: Route = {
  method: 'post',
  path: '/v1/files',
  access: 'key',
  doc: {
    summary: 'Upload a file of training data; it is checked before the answer',
    operationId: 'createFile',
    request: { body: { required: true, content: { 'multipart/form-data': { schema: fileForm } } } },
    responses: {
      200: jsonContent('It is stored; status says whether it can be trained on', fileObject),
      ...errors,
      ...errorDocs({ 400: 'The form is malformed, or the file is too large', 415: 'The body is no form' }),
    },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request } = context;
    const { filename, chunks, fields } = await readFileForm(request, 'file', fileFields);
    const file = await services.files.create(principal, chunks, async () => fieldsOf(filename, await fields));
    return Response.json(fileOf(file));
  },
};

export const listFilesRoute: Route = {
  method: 'get',
  path: '/v1/files',
  access: 'key',
  doc: {
    summary: 'List files',
    operationId: 'listFiles',
    request: { query },
    responses: {
      200: jsonContent('One page', fileList),
      ...errors,
      ...errorDocs({ 400: 'The query is malformed' }),
    },
  },
  handle({ services, principal, request }) {
    const { items, hasMore } = services.files.list(principal, parseQuery(query, request));
    const data = items.map(fileOf);
    const ends = { first_id: data.at(0)?.id ?? null, last_id: data.at(-1)?.id ?? null };
    return Response.json({ object: 'list', data, ...ends, has_more: hasMore });
  },
};

export const showFileRoute: Route = {
  method: 'get',
  path: '/v1/files/{file_id}',
  access: 'key',
  doc: {
    summary: 'Show a file',
    operationId: 'retrieveFile',
    request: { params },
    responses: { 200: jsonContent('The file', fileObject), ...errors },
  },
  handle: (context) => Response.json(fileOf(context.services.files.get(context.principal, idOf(context)))),
};

export const deleteFileRoute: Route = {
  method: 'delete',
  path: '/v1/files/{file_id}',
  access: 'key',
  doc: {
    summary: 'Delete a file; jobs that use it go on',
    operationId: 'deleteFile',
    request: { params },
    responses: { 200: jsonContent('It is deleted', deletedFile), ...errors },
  },
  handle(context) {
    requireWriter(context);
    const { id } = context.services.files.delete(context.principal, idOf(context));
    return Response.json({ id, object: 'file', deleted: true });
  },
};

export const fileContentRoute: Route = {
  method: 'get',
  path: '/v1/files/{file_id}/content',
  access: 'key',
  doc: {
    summary: 'The bytes of a file',
    operationId: 'downloadFile',
    request: { params },
    responses: {
      200: { description: 'The bytes', content: { 'application/octet-stream': { schema: z.string() } } },
      ...errors,
    },
  },
  handle(context) {
    requireWriter(context);
    const { file, stream } = context.services.files.content(context.principal, idOf(context));
    const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': String(file.sizeBytes) };
    return new Response(stream, { headers });
  },
};

function idOf({ params: { file_id: id } }: KeyedContext): string {
  assert(id !== undefined, 'the path has its parameter');
  return id;
}
