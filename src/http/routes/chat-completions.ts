import { parseBody, readJson } from '../body.ts';
import { answerGeneration, modelErrorDocs, modelHeaders } from '../generation.ts';
import type { Route } from '../route.ts';
import { chatCompletionRequest, chatRequestOf } from '../wire/chat-request.ts';
import { chatCompletion, chatCompletionChunk, chatShape } from '../wire/chat-response.ts';
import { selectionOf } from '../wire/model-fields.ts';
import { tierOf } from '../wire/scheduling-fields.ts';

export const chatCompletionsRoute: Route = {
  method: 'post',
  path: '/v1/chat/completions',
  access: 'key',
  doc: {
    summary: 'Answer a conversation, whole or as a stream',
    operationId: 'createChatCompletion',
    request: {
      headers: modelHeaders,
      body: { required: true, content: { 'application/json': { schema: chatCompletionRequest } } },
    },
    responses: {
      200: {
        description: 'The answer. X-Adapter-Digest names the adapter version that gave it; the base has none.',
        content: {
          'application/json': { schema: chatCompletion },
          'text/event-stream': { schema: chatCompletionChunk },
        },
      },
      ...modelErrorDocs,
    },
  },
  async handle(context) {
    const { request: http, services, principal } = context;
    const body = parseBody(chatCompletionRequest, await readJson(http, context.maxBodyBytes));
    const request = chatRequestOf(body, services.maxChoices, http.headers);
    return answerGeneration(context, {
      selection: selectionOf(body, http.headers),
      idPrefix: 'chatcmpl-',
      numPrompts: 1,
      numChoices: request.numChoices,
      stream: body.stream === true,
      withUsage: body.stream_options?.include_usage === true,
      shape: (head) =>
        chatShape(head, request.numChoices, { tier: tierOf(body.service_tier), canCall: request.toolUse !== null }),
      deltas: (model, signal, onUsed) => services.chat(principal, model, request, signal, onUsed),
    });
  },
};
