import { EventSourceParserStream } from 'eventsource-parser/stream';
import { ApiError, type ApiClient } from './client.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatOptions {
  readonly model: string;
  /** Whose route picks the version; null: the model itself is asked. */
  readonly task: string | null;
  /** Where a task is split, the same answers the same session. */
  readonly sessionId: string;
  readonly messages: readonly ChatMessage[];
  readonly temperature: number;
  readonly maxTokens: number;
}

/** What a stream tells on its way. */
export interface ChatProgress {
  readonly text: string;
  /** The model that the server says it is. */
  readonly model: string;
  /** Null: the base alone. */
  readonly digest: string | null;
  /** By which the answer can be scored. */
  readonly requestId: string | null;
  readonly finishReason: string | null;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
}

interface Chunk {
  readonly model?: string;
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string; readonly code: string };
}

/** Streams an answer. @throws ApiError also for an error in the middle of the stream */
export async function* streamChat(
  api: ApiClient,
  { model, task, sessionId, messages, temperature, maxTokens }: ChatOptions,
  signal: AbortSignal,
): AsyncGenerator<ChatProgress, void, undefined> {
  const response = await api.send('/v1/chat/completions', {
    method: 'POST',
    signal,
    body: {
      model,
      ...(task !== null && { metadata: { task }, user: sessionId }),
      messages,
      temperature,
      max_tokens: maxTokens,
      stream: true,
      stream_options: { include_usage: true },
    },
  });
  if (!response.body) throw new ApiError(response.status, '', 'the answer has no body');
  const digest = response.headers.get('x-adapter-digest');
  let progress: ChatProgress = {
    text: '',
    model,
    digest,
    requestId: response.headers.get('x-request-id'),
    finishReason: null,
    promptTokens: null,
    completionTokens: null,
  };
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw new ApiError(response.status, chunk.error.code, chunk.error.message);
    const choice = chunk.choices?.[0];
    progress = {
      ...progress,
      model: chunk.model ?? progress.model,
      text: progress.text + (choice?.delta.content ?? ''),
      finishReason: choice?.finish_reason ?? progress.finishReason,
      promptTokens: chunk.usage?.prompt_tokens ?? progress.promptTokens,
      completionTokens: chunk.usage?.completion_tokens ?? progress.completionTokens,
    };
    yield progress;
  }
}
