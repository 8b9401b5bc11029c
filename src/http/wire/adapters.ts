import { z } from '@hono/zod-openapi';
import type { ListedVersion, ShownVersion } from '../catalogue-services.ts';
import { classes, classesOf } from './classes.ts';
import { secondsOf } from './files.ts';
import { list, pageQuery } from './page.ts';

const DEFAULT_PAGE = 100;
const MAX_PAGE = 500;

export const adapterQuery = z.strictObject({
  tenant: z.string().optional().openapi({ description: 'Of one tenant; all that the key may see unless told.' }),
  q: z.string().max(128).optional().openapi({ description: 'In the names of task, method or base.' }),
  tag: z.string().max(64).optional(),
  ...pageQuery(DEFAULT_PAGE, MAX_PAGE),
});

export const adapterObject = z
  .object({
    object: z.literal('adapter'),
    id: z.string().openapi({ description: 'TENANT/TASK@VERSION: what a request may name as its model.' }),
    tenant: z.string(),
    task: z.string(),
    version: z.int(),
    digest: z.string(),
    base: z.object({ name: z.string(), digest: z.string() }),
    method: z.string(),
    rank: z.int().nullable(),
    parameters: z.int().openapi({ description: 'That were trained.' }),
    classes,
    bytes: z.int(),
    created_at: z.int().openapi({ description: 'Seconds since 1970.' }),
    aliases: z.array(z.string()),
    tags: z.array(z.string()),
    metrics: z.record(z.string(), z.number()).openapi({ description: 'Scores, such as validLoss.' }),
    provenance: z
      .record(z.string(), z.unknown())
      .openapi({ description: 'Where it came from: the job, digests of data, seed, hyperparameters, code version.' }),
  })
  .openapi('Adapter');

export const adapterList = list(adapterObject).openapi('AdapterList');

export const adapterWithHistory = adapterObject
  .extend({
    history: z
      .array(z.object({ version: z.int(), changed_at: z.int() }))
      .openapi({ description: 'What the alias latest of the task pointed at, oldest first.' }),
  })
  .openapi('AdapterWithHistory');

export function adapterOf({ version: of, aliases, tags }: ListedVersion): z.output<typeof adapterObject> {
  return {
    object: 'adapter',
    id: `${of.tenant}/${of.task}@${of.version}`,
    tenant: of.tenant,
    task: of.task,
    version: of.version,
    digest: of.digest,
    base: { ...of.base },
    method: of.method,
    rank: of.rank,
    parameters: of.parameters,
    classes: classesOf(of.classes),
    bytes: of.sizeBytes,
    created_at: secondsOf(of.createdAt),
    aliases: [...aliases],
    tags: [...tags],
    metrics: { ...of.metrics },
    provenance: { ...of.provenance },
  };
}

export function adapterWithHistoryOf(shown: ShownVersion): z.output<typeof adapterWithHistory> {
  const history = shown.history.map(({ version, changedAt }) => ({ version, changed_at: secondsOf(changedAt) }));
  return { ...adapterOf(shown), history };
}
