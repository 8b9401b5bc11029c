import { z } from '@hono/zod-openapi';
import type { AnswerToken } from '../services.ts';
import { orNull } from './or-null.ts';

/** JSON has no infinity. OpenAI's value for a token that is as good as impossible. */
const IMPOSSIBLE = -9999;

const chatToken = { token: z.string(), logprob: z.number(), bytes: z.array(z.int()) };
const topToken = z.object(chatToken).openapi('ChatTopLogprob');
const tokenLogprob = z.object({ ...chatToken, top_logprobs: z.array(topToken) }).openapi('ChatTokenLogprob');

/** Of a chat's choice or chunk; null when they were not asked for. */
export const chatLogprobs = orNull(
  z.object({ content: z.array(tokenLogprob), refusal: z.null() }).openapi('ChatLogprobs'),
);

/** Of a text's choice or chunk, as four lists of the same length; null when they were not asked for. */
export const textLogprobs = orNull(
  z
    .object({
      tokens: z.array(z.string()),
      token_logprobs: z.array(z.number().nullable()),
      top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
      text_offset: z.array(z.int()),
    })
    .openapi('TextLogprobs'),
);

export function chatLogprobsOf(tokens: readonly AnswerToken[] | undefined): z.output<typeof chatLogprobs> {
  if (tokens === undefined) return null;
  const entry = (bytes: Uint8Array, logprob: number | null) => ({
    token: tokenText(bytes, ''),
    logprob: finite(logprob ?? 0),
    bytes: [...bytes],
  });
  return {
    content: tokens.map(({ bytes, logprob, top }) => ({
      ...entry(bytes, logprob),
      top_logprobs: top.map((other) => entry(other.bytes, other.logprob)),
    })),
    refusal: null,
  };
}

/** The chosen token stands among the most probable ones also where it is none of them, as OpenAI has it. */
export function textLogprobsOf(tokens: readonly AnswerToken[] | undefined): z.output<typeof textLogprobs> {
  if (tokens === undefined) return null;
  const text = (bytes: Uint8Array): string => tokenText(bytes, 'bytes:');
  return {
    tokens: tokens.map(({ bytes }) => text(bytes)),
    token_logprobs: tokens.map(({ logprob }) => logprob && finite(logprob)),
    top_logprobs: tokens.map(({ bytes, logprob, top }) => {
      if (logprob === null) return null;
      const all = [...top, { bytes, logprob }];
      return Object.fromEntries(all.map((token) => [text(token.bytes), finite(token.logprob)]));
    }),
    text_offset: tokens.map(({ offset }) => offset),
  };
}

/** A token's text; of one that is a part of a character its bytes as `\xf0\x9f`, so that different tokens stay different. */
function tokenText(bytes: Uint8Array, prefix: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return prefix + [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  }
}

function finite(logprob: number): number {
  return Math.max(IMPOSSIBLE, logprob);
}
