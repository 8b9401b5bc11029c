import { z } from '@hono/zod-openapi';
import type { JobPeft } from '../../jobs/index.ts';
import type { RequestedPeft } from '../tuning-services.ts';

/** The methods of a job's adapter: those of `espalier train` whose settings are a rank and targets, or none. */
export const JOB_PEFT_METHODS = [
  'lora',
  'qlora',
  'dora',
  'adalora',
  'ia3',
  'vera',
  'loha',
  'lokr',
  'oft',
  'boft',
  'hra',
  'miss',
  'fourierft',
  'randlora',
  'vblora',
  'prompt-tuning',
  'p-tuning',
  'prefix-tuning',
  'ln-tuning',
] as const;

const TARGET_PRESETS = ['attention', 'attention-qv', 'mlp', 'all-linear'] as const;
const MAX_RANK = 256;
const MAX_TARGETS = 32;

/** Ours, beside OpenAI's fields and under a name of its own: how the adapter is made. */
export const peftRequest = z
  .strictObject({
    method: z.enum(JOB_PEFT_METHODS).optional().openapi({ description: 'lora unless told.' }),
    rank: z
      .int()
      .min(1)
      .max(MAX_RANK)
      .optional()
      .openapi({ description: 'Of a method that has one; what espalier train has by default unless told.' }),
    target_modules: z
      .union([
        z.enum(TARGET_PRESETS),
        z
          .array(z.string().regex(/^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/, 'must be the name of a module'))
          .min(1)
          .max(MAX_TARGETS),
      ])
      .optional()
      .openapi({ description: 'A group of layers, or modules by PEFT’s names; attention unless told.' }),
    learning_rate: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .openapi({ description: 'Instead of the server’s; learning_rate_multiplier multiplies it all the same.' }),
  })
  .openapi('FineTuningPeftRequest');

export const peftObject = z
  .object({
    method: z.string(),
    rank: z.int().nullable().openapi({ description: 'null: the method has none.' }),
    target_modules: z
      .union([z.string(), z.array(z.string())])
      .nullable()
      .openapi({ description: 'null: the method adapts no layers.' }),
    learning_rate: z.number().nullable().openapi({ description: 'null: the server’s.' }),
  })
  .openapi('FineTuningPeft');

export function peftRequestOf(asked: z.output<typeof peftRequest> | null | undefined): RequestedPeft {
  const targets = asked?.target_modules;
  return {
    method: asked?.method ?? null,
    rank: asked?.rank ?? null,
    targets: targets === undefined ? null : [targets].flat().join(','),
    learningRate: asked?.learning_rate ?? null,
  };
}

export function peftOf({ method, rank, targets, learningRate }: JobPeft): z.output<typeof peftObject> {
  return {
    method,
    rank,
    target_modules: targets?.includes(',') ? targets.split(',') : targets,
    learning_rate: learningRate,
  };
}
