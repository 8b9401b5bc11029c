import { z } from '@hono/zod-openapi';

export const session = z
  .object({
    object: z.literal('session'),
    tenant: z.string().nullable().openapi({ description: 'null: the operator, who sees every tenant.' }),
    role: z.enum(['admin', 'writer', 'reader']),
    key_id: z.string(),
    bases: z.array(z.object({ name: z.string(), is_ready: z.boolean() })),
  })
  .openapi('Session');
