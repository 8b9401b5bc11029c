import { z } from '@hono/zod-openapi';
import { epochSeconds, newId } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { Choices } from '../choices.ts';
import { wireError } from '../error-response.ts';
import { DONE_FRAME, dataFrame, eventStreamResponse } from '../event-stream.ts';
import { errorDocs, type KeyedContext, type Route } from '../route.ts';
import type { ChatDelta, ChatRequest, ResolvedModel } from '../services.ts';
import { chatCompletionRequest, chatRequestOf, taskOf } from '../wire/chat-request.ts';
import {
  answerHead,
  chatCompletion,
  chatCompletionChunk,
  chunkOf,
  completionOf,
  usageChunkOf,
  type AnswerHead,
} from '../wire/chat-response.ts';

export const chatCompletionsRoute: Route = {
  method: 'post',
  path: '/v1/chat/completions',
  access: 'key',
  doc: {
    summary: 'Answer a conversation, whole or as a stream',
    operationId: 'createChatCompletion',
    request: {
      headers: z.object({ 'X-Task': z.string().optional().openapi({ description: 'The same as metadata.task.' }) }),
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
      ...errorDocs({
        400: 'The request is malformed, or asks for what this server cannot do',
        401: 'The API key is missing or wrong',
        404: 'The model is unknown, or is another tenant’s',
        413: 'The body is too large',
        429: 'The tenant or the server has as many requests as it can take',
        503: 'The adapter cannot be loaded now',
      }),
    },
  },
  async handle(context) {
    const { request: http, services, principal } = context;
    const body = parseBody(chatCompletionRequest, await readJson(http, context.maxBodyBytes));
    const request = chatRequestOf(body, services.maxChoices);
    const task = taskOf(body, http.headers.get('x-task'));
    const admission = services.admit(principal);
    const release = (): void => admission[Symbol.dispose]();
    try {
      const model = await services.resolveModel(principal, { model: body.model, task });
      context.note({ model: model.modelName, adapter: model.adapter?.digest ?? null });
      const head = answerHead(newId('chatcmpl-'), epochSeconds(context.clock), model);
      if (body.stream === true) {
        const withUsage = body.stream_options?.include_usage === true;
        return await streamAnswer(context, model, request, head, withUsage, release);
      }
      const response = await wholeAnswer(context, model, request, head);
      release();
      return response;
    } catch (error) {
      release();
      throw error;
    }
  },
};

async function wholeAnswer(
  context: KeyedContext,
  model: ResolvedModel,
  request: ChatRequest,
  head: AnswerHead,
): Promise<Response> {
  const { services, principal, signal } = context;
  const choices = new Choices(request.numChoices);
  for await (const delta of services.chat(principal, model, request, signal)) choices.add(delta);
  context.note({ ...choices.usage });
  return Response.json(completionOf(head, choices.finish(), choices.usage), { headers: digestHeader(model) });
}

/** Waits for the first delta: what fails before it still has its own status. */
async function streamAnswer(
  context: KeyedContext,
  model: ResolvedModel,
  request: ChatRequest,
  head: AnswerHead,
  withUsage: boolean,
  release: () => void,
): Promise<Response> {
  const left = new AbortController();
  const signal = AbortSignal.any([context.signal, left.signal]);
  const deltas = context.services.chat(context.principal, model, request, signal)[Symbol.asyncIterator]();
  const first = await deltas.next();
  const { promise: isOver, resolve: settle } = Promise.withResolvers<void>();
  context.until(isOver);
  return eventStreamResponse(framesOf(context, first, deltas, request, head, withUsage), digestHeader(model), {
    leave: () => left.abort(),
    async end() {
      try {
        // Also when no frame was ever asked for: then the generator of frames has not begun, and would end nothing.
        await deltas.return?.();
      } catch (error) {
        context.reportFailure(error);
      }
      release();
      settle();
    },
  });
}

async function* framesOf(
  context: KeyedContext,
  first: IteratorResult<ChatDelta>,
  deltas: AsyncIterator<ChatDelta>,
  request: ChatRequest,
  head: AnswerHead,
  withUsage: boolean,
): AsyncGenerator<string, void, undefined> {
  const choices = new Choices(request.numChoices);
  try {
    for (let index = 0; index < request.numChoices; index++) {
      yield dataFrame(chunkOf(head, index, { role: 'assistant', content: '' }));
    }
    for (let next = first; !next.done; next = await deltas.next()) {
      const { index, text, finishReason } = next.value;
      choices.add(next.value);
      if (text !== '') yield dataFrame(chunkOf(head, index, { content: text }));
      if (finishReason) yield dataFrame(chunkOf(head, index, {}, finishReason));
    }
    choices.finish();
    if (withUsage) yield dataFrame(usageChunkOf(head, choices.usage));
    yield DONE_FRAME;
  } catch (error) {
    context.reportFailure(error);
    yield dataFrame(wireError(error, context.requestId).body);
  } finally {
    context.note({ ...choices.usage });
  }
}

function digestHeader({ adapter }: ResolvedModel): Record<string, string> {
  return adapter ? { 'X-Adapter-Digest': adapter.digest } : {};
}
