import { parseBody, readJson } from '../body.ts';
import { digestHeader, modelErrorDocs, modelHeaders } from '../generation.ts';
import { jsonContent, type Route } from '../route.ts';
import { embeddingList, embeddingListOf, embeddingRequest, embeddingRequestOf } from '../wire/embedding.ts';
import { selectionOf } from '../wire/model-fields.ts';

export const embeddingsRoute: Route = {
  method: 'post',
  path: '/v1/embeddings',
  access: 'key',
  doc: {
    summary: 'Turn texts into vectors of length 1',
    operationId: 'createEmbedding',
    request: {
      headers: modelHeaders,
      body: { required: true, content: { 'application/json': { schema: embeddingRequest } } },
    },
    responses: {
      200: jsonContent('A vector for each text: the final hidden states of its tokens, pooled', embeddingList),
      ...modelErrorDocs,
    },
  },
  async handle(context) {
    const { request: http, services, principal, signal } = context;
    const body = parseBody(embeddingRequest, await readJson(http, context.maxBodyBytes));
    const request = embeddingRequestOf(body, http.headers);
    const selection = selectionOf(body, http.headers);
    using _admission = services.admit(principal);
    const model = await services.resolveModel(principal, selection, context.requestId);
    context.note({ model: model.modelName, adapter: model.adapter?.digest ?? null });
    const embeddings = await services.embed(principal, model, request, signal, ({ promptTokens }) => {
      context.note({ promptTokens });
    });
    const answer = embeddingListOf(model, embeddings, body.encoding_format ?? 'float');
    return Response.json(answer, { headers: digestHeader(model) });
  },
};
