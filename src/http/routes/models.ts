import { z } from '@hono/zod-openapi';
import { assert } from '../../base/index.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import { model, modelList, modelOf } from '../wire/models.ts';

export const listModelsRoute: Route = {
  method: 'get',
  path: '/v1/models',
  access: 'key',
  doc: {
    summary: 'List the base and the adapters that the key may ask',
    operationId: 'listModels',
    responses: { 200: jsonContent('The models', modelList), ...errorDocs({ 401: 'The API key is missing or wrong' }) },
  },
  async handle({ services, principal }) {
    const entries = await services.listModels(principal);
    return Response.json({ object: 'list', data: entries.map(modelOf) });
  },
};

export const showModelRoute: Route = {
  method: 'get',
  path: '/v1/models/{model}',
  access: 'key',
  doc: {
    summary: 'Show a model',
    operationId: 'retrieveModel',
    request: {
      params: z.object({
        model: z.string().openapi({ description: 'May hold slashes, encoded or not: TENANT/TASK.' }),
      }),
    },
    responses: {
      200: jsonContent('The model', model),
      ...errorDocs({ 401: 'The API key is missing or wrong', 404: 'It is unknown, or is another tenant’s' }),
    },
  },
  async handle({ services, principal, params }) {
    assert(params['model'] !== undefined, 'the path has its parameter');
    return Response.json(modelOf(await services.showModel(principal, params['model'])));
  },
};
