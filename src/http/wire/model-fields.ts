import { z } from '@hono/zod-openapi';
import { fail, isName } from '../../base/index.ts';
import type { ModelSelection } from '../services.ts';

const MAX_MIXED = 16;

const modelName = z.string().min(1).max(512);

const mixedAdapter = z
  .strictObject({ id: modelName, weight: z.number().min(-100).max(100).nullish() })
  .openapi('MixedAdapter');

/** What says which base or adapter answers: the same in every endpoint. */
export const modelFields = {
  model: modelName.openapi({ description: 'TENANT/TASK, TENANT/TASK@VERSION, sha256:…, or the base.' }),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .nullish()
    .openapi({ description: 'metadata.task picks the adapter by the routes of the tenant, when model is the base.' }),
  adapters: z.array(mixedAdapter).min(1).max(MAX_MIXED).nullish().openapi({
    description:
      'When model is the base: these adapters together, each named as model would name it, its change times its weight (1 unless told).',
  }),
};

interface ModelFields {
  readonly model: string;
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
  /** Of the bodies that have it. */
  readonly user?: string | null | undefined;
  readonly adapters?:
    readonly { readonly id: string; readonly weight?: number | null | undefined }[] | null | undefined;
}

/**
 * Which model a checked body and its headers ask for.
 * @throws REQUEST_INVALID the task is no name, differs between body and header, or stands beside adapters
 */
export function selectionOf(body: ModelFields, headers: Headers): ModelSelection {
  const task = taskOf(body, headers.get('x-task'));
  const adapters = (body.adapters ?? []).map(({ id, weight }) => ({ id, weight: weight ?? 1 }));
  if (task !== null && adapters.length > 0) {
    fail('REQUEST_INVALID', `the task "${task}" picks an adapter, and adapters names some: send one of the two`, {
      param: 'adapters',
    });
  }
  const session = headers.get('x-session-id') ?? body.user ?? undefined;
  return {
    model: body.model,
    task,
    ...(task !== null && session !== undefined && { session }),
    ...(adapters.length > 0 && { adapters }),
  };
}

/** The task that `metadata.task` or the header `X-Task` names. @throws REQUEST_INVALID they differ, or it is no name */
export function taskOf(body: Pick<ModelFields, 'metadata'>, header: string | null): string | null {
  const inBody = body.metadata?.['task'] ?? null;
  if (inBody !== null && header !== null && inBody !== header) {
    fail('REQUEST_INVALID', `metadata.task is "${inBody}" and X-Task is "${header}": send one`, {
      param: 'metadata.task',
    });
  }
  const task = inBody ?? header;
  if (task !== null && !isName(task)) {
    const param = inBody === null ? 'X-Task' : 'metadata.task';
    fail('REQUEST_INVALID', `${param} must be a task's name, got "${task}"`, { param });
  }
  return task;
}
