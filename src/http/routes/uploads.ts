import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { readFileForm } from '../form.ts';
import { requireWriter } from '../role.ts';
import { errorDocs, jsonContent, type KeyedContext, type Route } from '../route.ts';
import {
  completeUploadRequest,
  lifetimeOf,
  partForm,
  partObject,
  partOf,
  uploadObject,
  uploadOf,
  uploadRequest,
} from '../wire/files.ts';

const params = z.object({ upload_id: z.string() });
const errors = errorDocs({
  400: 'The body is malformed, or the upload is over',
  401: 'The API key is missing or wrong',
  403: 'The key may ask models only',
  404: 'The upload is unknown, or is another tenant’s',
  413: 'The body is too large',
});

export const createUploadRoute: Route = {
  method: 'post',
  path: '/v1/uploads',
  access: 'key',
  doc: {
    summary: 'Begin a file that comes in parts',
    operationId: 'createUpload',
    request: { body: { required: true, content: { 'application/json': { schema: uploadRequest } } } },
    responses: { 200: jsonContent('Add parts within the hour', uploadObject), ...errors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const body = parseBody(uploadRequest, await readJson(request, maxBodyBytes));
    const { filename, purpose, bytes: sizeBytes, mime_type: mimeType, expires_after } = body;
    const lifetimeMs = lifetimeOf(expires_after?.seconds);
    return Response.json(
      uploadOf(services.files.createUpload(principal, { filename, purpose, sizeBytes, mimeType, lifetimeMs }), null),
    );
  },
};

export const addUploadPartRoute: Route = {
  method: 'post',
  path: '/v1/uploads/{upload_id}/parts',
  access: 'key',
  doc: {
    summary: 'Add a part; parts may come at once and in any order',
    operationId: 'addUploadPart',
    request: { params, body: { required: true, content: { 'multipart/form-data': { schema: partForm } } } },
    responses: {
      200: jsonContent('It is stored', partObject),
      ...errors,
      ...errorDocs({ 415: 'The body is no form' }),
    },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request } = context;
    const { chunks, fields } = await readFileForm(request, 'data', z.strictObject({}));
    return Response.json(partOf(await services.files.addPart(principal, idOf(context), chunks, fields)));
  },
};

export const completeUploadRoute: Route = {
  method: 'post',
  path: '/v1/uploads/{upload_id}/complete',
  access: 'key',
  doc: {
    summary: 'Make a file of the parts, in this order',
    operationId: 'completeUpload',
    request: { params, body: { required: true, content: { 'application/json': { schema: completeUploadRequest } } } },
    responses: { 200: jsonContent('The upload with its file', uploadObject), ...errors },
  },
  async handle(context) {
    requireWriter(context);
    const { services, principal, request, maxBodyBytes } = context;
    const { part_ids, md5 } = parseBody(completeUploadRequest, await readJson(request, maxBodyBytes));
    const done = await services.files.completeUpload(principal, idOf(context), part_ids, md5?.toLowerCase() ?? null);
    return Response.json(uploadOf(done.upload, done.file));
  },
};

export const cancelUploadRoute: Route = {
  method: 'post',
  path: '/v1/uploads/{upload_id}/cancel',
  access: 'key',
  doc: {
    summary: 'Give an upload up',
    operationId: 'cancelUpload',
    request: { params },
    responses: { 200: jsonContent('Its parts are gone', uploadObject), ...errors },
  },
  handle(context) {
    requireWriter(context);
    return Response.json(uploadOf(context.services.files.cancelUpload(context.principal, idOf(context)), null));
  },
};

function idOf({ params: { upload_id: id } }: KeyedContext): string {
  assert(id !== undefined, 'the path has its parameter');
  return id;
}
