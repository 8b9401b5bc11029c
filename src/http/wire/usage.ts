import { z } from '@hono/zod-openapi';
import type { Usage } from '../services.ts';

export const usage = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  })
  .openapi('CompletionUsage');

export function usageOf({ promptTokens, completionTokens, cachedTokens }: Usage): z.output<typeof usage> {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
