import { parseBody, readJson } from '../body.ts';
import { answerGeneration, modelErrorDocs, modelHeaders } from '../generation.ts';
import type { Route } from '../route.ts';
import { selectionOf } from '../wire/model-fields.ts';
import { completionRequest, textRequestOf } from '../wire/text-request.ts';
import { textCompletion, textCompletionChunk, textShape } from '../wire/text-response.ts';

export const completionsRoute: Route = {
  method: 'post',
  path: '/v1/completions',
  access: 'key',
  doc: {
    summary: 'Continue texts, whole or as a stream',
    operationId: 'createCompletion',
    request: {
      headers: modelHeaders,
      body: { required: true, content: { 'application/json': { schema: completionRequest } } },
    },
    responses: {
      200: {
        description: 'The continuations: choice j of prompt i has the index i · n + j.',
        content: {
          'application/json': { schema: textCompletion },
          'text/event-stream': { schema: textCompletionChunk },
        },
      },
      ...modelErrorDocs,
    },
  },
  async handle(context) {
    const { request: http, services, principal } = context;
    const body = parseBody(completionRequest, await readJson(http, context.maxBodyBytes));
    const request = textRequestOf(body, services.maxChoices, http.headers);
    return answerGeneration(context, {
      selection: selectionOf(body, http.headers),
      idPrefix: 'cmpl-',
      numPrompts: request.prompts.length,
      numChoices: request.numChoices,
      stream: body.stream === true,
      withUsage: body.stream_options?.include_usage === true,
      shape: textShape,
      deltas: (model, signal, onUsed) => services.complete(principal, model, request, signal, onUsed),
    });
  },
};
