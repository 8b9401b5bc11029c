import { z } from '@hono/zod-openapi';
import type { AuditRecord } from '../../audit/index.ts';
import { list } from './page.ts';

const auditEntry = z
  .object({
    object: z.literal('audit.entry'),
    seq: z.int().openapi({ description: 'Of the whole log; for a tenant, of the entries about it.' }),
    at: z.int().openapi({ description: 'Seconds since 1970.' }),
    actor: z
      .string()
      .nullable()
      .openapi({ description: 'A key’s id, "cli", "server" or "job:…"; null: it was erased.' }),
    tenant: z.string().nullable().openapi({ description: 'Whose things were changed; null: the operator’s.' }),
    action: z.string().openapi({ example: 'adapter.publish' }),
    target: z.string().nullable(),
    detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).nullable(),
    erased: z.boolean().openapi({ description: 'It told of a tenant that was erased: only time and action are left.' }),
    hash: z.string().openapi({ description: 'sha256 over the entry before it and this one.' }),
  })
  .openapi('AuditEntry');

export const auditList = list(auditEntry).openapi('AuditList');

export function auditEntryOf(record: AuditRecord): z.output<typeof auditEntry> {
  return {
    object: 'audit.entry',
    seq: record.seq,
    at: Math.floor(record.at / 1000),
    actor: record.actor,
    tenant: record.tenant,
    action: record.action,
    target: record.target,
    detail: record.detail,
    erased: record.isErased,
    hash: record.hash,
  };
}
