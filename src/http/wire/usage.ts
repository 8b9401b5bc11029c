import { z } from '@hono/zod-openapi';
import type { Usage } from '../services.ts';
import { orNull } from './or-null.ts';

export const usage = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
    completion_tokens_details: z
      .object({ accepted_prediction_tokens: z.int(), rejected_prediction_tokens: z.int() })
      .optional()
      .openapi({
        description: 'With a prediction: its tokens that were tried, right and wrong ones. They cost nothing.',
      }),
  })
  .openapi('CompletionUsage');

export const chunkUsage = orNull(usage).optional().openapi({
  description: 'With stream_options.include_usage: null in all chunks but the last, which has no choices.',
});

export function usageOf({ promptTokens, completionTokens, cachedTokens, prediction }: Usage): z.output<typeof usage> {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    ...(prediction && {
      completion_tokens_details: {
        accepted_prediction_tokens: prediction.numRight,
        rejected_prediction_tokens: prediction.numWrong,
      },
    }),
  };
}
