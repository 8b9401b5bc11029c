import { EspalierError, type Clock, type ErrorCode } from '../../base/index.ts';
import type { AnswerFigures } from '../../delivery/index.ts';
import type { AnswerDelta } from '../../http/index.ts';

/** One answer, once it is over. */
export interface ObservedAnswer {
  /** Of the first choice: its text, and its calls as text. */
  readonly text: string;
  readonly figures: AnswerFigures;
}

export interface AnswerListener {
  onAnswer(answer: ObservedAnswer, seconds: number): void;
  /** The server could not answer. Not told of what a client caused: a wrong request, too many of them, leaving early. */
  onFault(error: unknown): void;
}

/** Passes an answer on, and tells what became of it. */
export async function* observed(
  deltas: AsyncIterable<AnswerDelta>,
  clock: Clock,
  listener: AnswerListener,
): AsyncGenerator<AnswerDelta, void, undefined> {
  const begunMs = clock.nowMs();
  let text = '';
  let tokens = 0;
  let queuedMs = 0;
  try {
    for await (const delta of deltas) {
      if (delta.index === 0) {
        text += delta.text;
        for (const { begin, argumentsText } of delta.toolCalls ?? []) text += `${begin?.name ?? ''}${argumentsText}`;
      }
      tokens += delta.usage?.completionTokens ?? 0;
      queuedMs = Math.max(queuedMs, delta.queuedMs ?? 0);
      yield delta;
    }
  } catch (error) {
    if (isFault(error)) listener.onFault(error);
    throw error;
  }
  const tookMs = clock.nowMs() - begunMs;
  listener.onAnswer(
    { text, figures: { chars: text.length, tokens, ms: Math.max(0, tookMs - queuedMs) } },
    tookMs / 1000,
  );
}

/** What a client, or too many of them, cause. */
const OF_CLIENTS: readonly ErrorCode[] = [
  'REQUEST_INVALID',
  'CONTEXT_TOO_LONG',
  'OVERLOADED',
  'QUOTA_EXCEEDED',
  'CANCELLED',
];

/** Whether an error is the server's, or that of the version that should have answered. */
export function isFault(error: unknown): boolean {
  return !(error instanceof EspalierError && OF_CLIENTS.includes(error.code));
}
