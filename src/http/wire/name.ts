import { z } from '@hono/zod-openapi';
import { NAME_PATTERN } from '../../base/index.ts';

/** A name as tenants, tasks and projects have it. */
export const nameField = z
  .string()
  .regex(NAME_PATTERN, 'must be 1 to 63 of a-z, 0-9, ".", "_", "-", and begin with a letter or digit');
