import { z } from '@hono/zod-openapi';
import { canary, canaryOf, gate, gateOf, shadow, shadowOf } from './delivery.ts';
import { orNull } from './or-null.ts';
import type { TaskRoute } from '../task-services.ts';

const entry = z.object({
  version: z.string().openapi({ description: 'A number, or an alias: then a promotion or a rollback moves it.' }),
  weight: z.number().openapi({ description: 'Above 0, relative to the others.' }),
});

export const routeRequest = z
  .strictObject({
    split: z
      .array(z.strictObject({ version: z.string().min(1).max(64), weight: z.number().gt(0).max(1_000_000) }))
      .max(16)
      .openapi({ description: 'Empty: the alias latest answers all.' }),
  })
  .openapi('TaskRouteRequest');

export const promoteRequest = z
  .strictObject({
    version: z.int().min(1),
    alias: z.string().max(64).default('latest'),
    gate: z
      .boolean()
      .default(true)
      .openapi({ description: 'false, for an admin’s key: the task’s gate is not asked.' }),
  })
  .openapi('PromoteRequest');
export const rollbackRequest = z
  .strictObject({ alias: z.string().max(64).default('latest') })
  .openapi('RollbackRequest');

export const taskRoute = z
  .object({
    object: z.literal('task_route'),
    task: z.string(),
    latest: z.string().nullable().openapi({ description: 'What the alias latest points at: TENANT/TASK@VERSION.' }),
    split: z.array(entry.extend({ model: z.string().nullable() })),
    // As of an upload's file: .nullable() would change what the name itself stands for.
    gate: orNull(gate),
    canary: orNull(canary).openapi({ description: 'The one that is on.' }),
    shadow: orNull(shadow),
  })
  .openapi('TaskRoute');

export const taskRouteList = z.object({ object: z.literal('list'), data: z.array(taskRoute) }).openapi('TaskRouteList');

export function routeOf({ task, latest, split, ...delivery }: TaskRoute): z.output<typeof taskRoute> {
  const entries = split.map(({ version, weight, reference }) => ({ version, weight, model: reference }));
  return {
    object: 'task_route',
    task,
    latest,
    split: entries,
    gate: delivery.gate && gateOf(delivery.gate),
    canary: delivery.canary && canaryOf(delivery.canary),
    shadow: delivery.shadow && shadowOf(delivery.shadow),
  };
}
