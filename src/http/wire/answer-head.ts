import { z } from '@hono/zod-openapi';
import type { ResolvedModel } from '../services.ts';

export const finishReason = z.enum(['stop', 'length']);
export const chatFinishReason = z.enum(['stop', 'length', 'tool_calls']);

/** What an answer and each of its chunks begin with. */
export const headFields = {
  id: z.string(),
  created: z.int().openapi({ description: 'Seconds since 1970.' }),
  model: z.string(),
  system_fingerprint: z
    .string()
    .openapi({ description: 'Digest of the adapter version that answered, or of the base.' }),
};

/** The constant part of one answer. */
export interface AnswerHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export function answerHead(id: string, created: number, model: ResolvedModel): AnswerHead {
  return {
    id,
    created,
    model: model.modelName,
    system_fingerprint: model.adapter?.digest ?? model.base.digest,
  };
}
