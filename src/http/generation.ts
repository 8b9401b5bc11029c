/** Answers that come in deltas, whole or as a stream of events: what chats and texts have in common. */
import { z } from '@hono/zod-openapi';
import { epochSeconds, NAME_PATTERN, newId } from '../base/index.ts';
import { Choices } from './choices.ts';
import { wireError } from './error-response.ts';
import { DONE_FRAME, dataFrame, eventStreamResponse } from './event-stream.ts';
import { errorDocs, type KeyedContext } from './route.ts';
import type { AnswerDelta, ModelSelection, ResolvedModel, Usage } from './services.ts';
import type { AnswerShape } from './shape.ts';
import { answerHead, type AnswerHead } from './wire/answer-head.ts';

/** A checked request for an answer in deltas. */
export interface Generation {
  readonly selection: ModelSelection;
  /** `chatcmpl-` or `cmpl-`. */
  readonly idPrefix: string;
  readonly numPrompts: number;
  /** Choices of each prompt. */
  readonly numChoices: number;
  readonly stream: boolean;
  /** A stream ends with a chunk of figures. */
  readonly withUsage: boolean;
  shape(head: AnswerHead): AnswerShape;
  /** @param onUsed told, once and at the end, of what was used, also of an answer that broke off */
  deltas(model: ResolvedModel, signal: AbortSignal, onUsed: (usage: Usage) => void): AsyncIterable<AnswerDelta>;
}

export const modelHeaders = z.object({
  'X-Task': z.string().optional().openapi({ pattern: NAME_PATTERN.source, description: 'The same as metadata.task.' }),
  'X-Session-Id': z.string().optional().openapi({
    description: 'Where a task is split between versions, a session stays with one; else user, else the key.',
  }),
  'X-Request-Timeout-Ms': z.string().optional().openapi({ description: 'The same as timeout, in milliseconds.' }),
});

/** The errors of every endpoint that asks a model. */
export const modelErrorDocs = errorDocs({
  400: 'The request is malformed, or asks for what this server cannot do',
  401: 'The API key is missing or wrong',
  404: 'The model is unknown, or is another tenant’s',
  413: 'The body is too large',
  429: 'The tenant has as many requests, or as many tokens per minute, as it may; or the server as many as it can take',
  503: 'The adapter cannot be loaded now',
  408: 'The answer had not begun within the request’s timeout',
});

/** Admits, resolves the model and answers; what was admitted is let go after the last byte. */
export async function answerGeneration(context: KeyedContext, generation: Generation): Promise<Response> {
  const { services, principal } = context;
  const admission = services.admit(principal);
  const release = (): void => admission[Symbol.dispose]();
  try {
    const model = await services.resolveModel(principal, generation.selection, context.requestId);
    context.note({ model: model.modelName, adapter: model.adapter?.digest ?? null });
    const shape = generation.shape(answerHead(newId(generation.idPrefix), epochSeconds(context.clock), model));
    if (generation.stream) return await streamAnswer(context, generation, model, shape, release);
    const response = await wholeAnswer(context, generation, model, shape);
    release();
    return response;
  } catch (error) {
    release();
    throw error;
  }
}

/** Names the adapter version (or the mix) that answers; the base has none. */
export function digestHeader({ adapter }: ResolvedModel): Record<string, string> {
  return adapter ? { 'X-Adapter-Digest': adapter.digest } : {};
}

async function wholeAnswer(
  context: KeyedContext,
  generation: Generation,
  model: ResolvedModel,
  shape: AnswerShape,
): Promise<Response> {
  const choices = new Choices(generation.numPrompts, generation.numChoices);
  const noteFirst = firstDeltaNote(context);
  try {
    for await (const delta of generation.deltas(model, context.signal, (usage) => choices.use(usage))) {
      noteFirst();
      choices.add(delta);
    }
  } finally {
    context.note(choices.notes);
  }
  return Response.json(shape.whole(choices.finish(), choices.usage), { headers: digestHeader(model) });
}

/** Notes, at its first call, the time from now until then. */
function firstDeltaNote(context: KeyedContext): () => void {
  const { clock } = context;
  const begunMs = clock.nowMs();
  let isNoted = false;
  return () => {
    if (!isNoted) context.note({ firstTokenSeconds: (clock.nowMs() - begunMs) / 1000 });
    isNoted = true;
  };
}

/** Waits for the first delta: what fails before it still has its own status. */
async function streamAnswer(
  context: KeyedContext,
  generation: Generation,
  model: ResolvedModel,
  shape: AnswerShape,
  release: () => void,
): Promise<Response> {
  const left = new AbortController();
  const signal = AbortSignal.any([context.signal, left.signal]);
  const choices = new Choices(generation.numPrompts, generation.numChoices);
  const deltas = generation.deltas(model, signal, (usage) => choices.use(usage))[Symbol.asyncIterator]();
  const noteFirst = firstDeltaNote(context);
  const first = await deltas.next().catch((error: unknown) => {
    context.note(choices.notes);
    throw error;
  });
  noteFirst();
  const { promise: isOver, resolve: settle } = Promise.withResolvers<void>();
  context.until(isOver);
  return eventStreamResponse(
    framesOf(context, generation.withUsage, shape, choices, first, deltas),
    digestHeader(model),
    {
      leave: () => left.abort(),
      async end() {
        try {
          // Also when no frame was ever asked for: then the generator of frames has not begun, and would end nothing.
          await deltas.return?.();
        } catch (error) {
          context.reportFailure(error);
        }
        // What was used of an answer that is left is known only now.
        context.note(choices.notes);
        release();
        settle();
      },
    },
  );
}

async function* framesOf(
  context: KeyedContext,
  withUsage: boolean,
  shape: AnswerShape,
  choices: Choices,
  first: IteratorResult<AnswerDelta>,
  deltas: AsyncIterator<AnswerDelta>,
): AsyncGenerator<string, void, undefined> {
  // As OpenAI has it: where the usage is told, all chunks have the field.
  const frame = (chunk: object): string => dataFrame(withUsage ? { ...chunk, usage: null } : chunk);
  try {
    for (const chunk of shape.opening()) yield frame(chunk);
    for (let next = first; !next.done; next = await deltas.next()) {
      choices.add(next.value);
      for (const chunk of shape.chunksOf(next.value)) yield frame(chunk);
    }
    choices.finish();
    if (withUsage) yield dataFrame(shape.usageChunk(choices.usage));
    yield DONE_FRAME;
  } catch (error) {
    context.reportFailure(error);
    yield dataFrame(wireError(error, context.requestId).body);
  }
}
