import { z } from '@hono/zod-openapi';
import type { ModelEntry } from '../services.ts';
import { classes, classesOf } from './classes.ts';

export const model = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int().openapi({ description: 'Seconds since 1970.' }),
    owned_by: z.string(),
    parent: z.string().nullable().openapi({ description: 'The base of an adapter.' }),
    classes,
  })
  .openapi('Model');

export const modelList = z.object({ object: z.literal('list'), data: z.array(model) }).openapi('ModelList');

export function modelOf({ id, created, ownedBy, parent, classes: of }: ModelEntry): z.output<typeof model> {
  return { id, object: 'model', created, owned_by: ownedBy, parent, classes: classesOf(of) };
}
