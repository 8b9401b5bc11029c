import type { ChatMessage, ChatProgress } from './chat-stream.ts';
import { ApiError, type ApiClient } from './client.ts';
import type { ClassificationList } from './types.ts';

/** Whether a chat was refused because what answers by this name gives labels: the server then names the way to ask for them. */
export function isForClassifier(error: unknown): boolean {
  return error instanceof ApiError && error.status === 400 && error.message.includes('/v1/classify');
}

/** The labels of a text or of messages in place of an answer, the most probable first. @throws ApiError */
export async function classify(
  api: ApiClient,
  { model, task, sessionId }: { readonly model: string; readonly task: string | null; readonly sessionId: string },
  input: { readonly input: string } | { readonly messages: readonly ChatMessage[] },
  signal: AbortSignal,
): Promise<ChatProgress> {
  const response = await api.send('/v1/classify', {
    method: 'POST',
    signal,
    body: { model, ...(task !== null && { metadata: { task }, user: sessionId }), ...input },
  });
  const { model: answered, data, usage } = (await response.json()) as ClassificationList;
  const [{ label, probs }] = data;
  const [highest, next] = probs.toSorted((a, b) => b - a);
  return {
    text: `${label} (${percentOf(highest)}; the next of ${probs.length} has ${percentOf(next)})`,
    model: answered,
    digest: response.headers.get('x-adapter-digest'),
    requestId: response.headers.get('x-request-id'),
    finishReason: 'label',
    promptTokens: usage.prompt_tokens,
    completionTokens: null,
  };
}

function percentOf(share: number | undefined): string {
  return `${(100 * (share ?? 0)).toFixed(1)} %`;
}
