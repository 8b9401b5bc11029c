import { z } from '@hono/zod-openapi';
import { parseBody } from '../body.ts';

/** OpenAI's list of one page. */
export function list<Item extends z.ZodType>(item: Item) {
  return z.object({ object: z.literal('list'), data: z.array(item), has_more: z.boolean() });
}

/** `limit` and `after` of a query. */
export function pageQuery(defaultLimit: number, maxLimit: number) {
  return {
    after: z.string().optional().openapi({ description: 'The last of the page before.' }),
    limit: z.coerce.number().int().min(1).max(maxLimit).default(defaultLimit),
  };
}

/** The query of a request by its schema; a key that is there twice is refused. @throws REQUEST_INVALID */
export function parseQuery<Schema extends z.ZodType>(schema: Schema, request: Request): z.output<Schema> {
  const found: Record<string, string | string[]> = {};
  for (const [key, value] of new URL(request.url).searchParams) {
    const before = Object.hasOwn(found, key) ? found[key] : [];
    const values = [...(Array.isArray(before) ? before : [before]), value];
    Object.defineProperty(found, key, {
      value: values.length === 1 ? value : values,
      enumerable: true,
      configurable: true,
    });
  }
  return parseBody(schema, found);
}
