import { parseBody, readJson } from '../body.ts';
import { epochSeconds } from '../../base/index.ts';
import { digestHeader, modelErrorDocs, modelHeaders } from '../generation.ts';
import { jsonContent, type Route } from '../route.ts';
import {
  classificationList,
  classificationListOf,
  classificationRequest,
  classifyRequestOf,
} from '../wire/classification.ts';
import { selectionOf } from '../wire/model-fields.ts';

export const classifyRoute: Route = {
  method: 'post',
  path: '/v1/classify',
  access: 'key',
  doc: {
    summary: 'Label texts by an adapter with a classification head',
    operationId: 'createClassification',
    request: {
      headers: modelHeaders,
      body: { required: true, content: { 'application/json': { schema: classificationRequest } } },
    },
    responses: {
      200: jsonContent('The most probable label of each text, and the probabilities of all', classificationList),
      ...modelErrorDocs,
    },
  },
  async handle(context) {
    const { request: http, services, principal, signal } = context;
    const body = parseBody(classificationRequest, await readJson(http, context.maxBodyBytes));
    const request = classifyRequestOf(body, http.headers);
    const selection = selectionOf(body, http.headers);
    using _admission = services.admit(principal);
    const model = await services.resolveModel(principal, selection, context.requestId);
    context.note({ model: model.modelName, adapter: model.adapter?.digest ?? null });
    const classifications = await services.classify(principal, model, request, signal, ({ promptTokens }) => {
      context.note({ promptTokens });
    });
    const answer = classificationListOf(model, classifications, epochSeconds(context.clock));
    return Response.json(answer, { headers: digestHeader(model) });
  },
};
