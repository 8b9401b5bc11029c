import { z } from '@hono/zod-openapi';
import type { Classes } from '../../registry/index.ts';
import { orNull } from './or-null.ts';

/** What is said of a classifier wherever models are listed. */
const some = z
  .object({
    labels: z.array(z.string()).openapi({ description: 'In the order of the probabilities.' }),
    reads: z.enum(['text', 'messages']).nullable().openapi({
      description:
        'What it was trained on: texts as they are, or messages by the chat template; null where that is not known.',
    }),
  })
  .openapi('Classes');

export const classes = orNull(some).openapi({
  description: 'Of a classifier, which POST /v1/classify asks; null where the answer is tokens.',
});

export function classesOf(of: Classes | null): z.output<typeof classes> {
  return of && { labels: [...of.labels], reads: of.reads ?? null };
}
