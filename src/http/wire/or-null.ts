import { z } from '@hono/zod-openapi';

/**
 * A named shape where null may stand in its place. `.nullable()` would put the null, and a description of this place, into the shape
 * itself, for everybody who refers to it.
 */
export function orNull<Shape extends z.ZodType>(shape: Shape) {
  return z.union([shape, z.null()]);
}
