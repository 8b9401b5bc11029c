import { z } from '@hono/zod-openapi';
import type { Tenant, TenantLimits } from '../../tenancy/index.ts';
import type { TenantErasure, TenantUsage } from '../tenant-services.ts';
import { nameField } from './name.ts';

const count = z.int().min(0);
const weight = z.number().gt(0).max(1000);

const limit = (schema: z.ZodNumber, description: string) => schema.nullable().openapi({ description });

const limits = {
  weight: limit(weight, 'Its part of the service, relative to the others’; null is 1.'),
  max_concurrency: limit(count, 'Requests in flight, those that wait included; null is the server’s own limit.'),
  requests_per_minute: limit(count, 'null is no limit, as below.'),
  tokens_per_minute: limit(count, 'Tokens of prompts and answers.'),
  max_priority: limit(count, 'How far below 0 "priority" of its requests may be.'),
  max_adapters: limit(
    count,
    'Adapter versions in the registry, checkpoints of jobs among them: one that leaves no room for what its job comes to is left out.',
  ),
  max_adapter_bytes: limit(count, 'Bytes of their files.'),
};

export const tenant = z
  .object({
    object: z.literal('tenant'),
    name: z.string(),
    created_at: z.int().openapi({ description: 'Seconds since 1970.' }),
    ...limits,
  })
  .openapi('Tenant');

export const tenantWithUsage = tenant
  .extend({
    usage: z.object({
      requests_in_flight: count,
      requests_remaining: count.nullable(),
      tokens_remaining: count.nullable(),
      adapters: count,
      adapter_bytes: count,
      requests_today: count,
      prompt_tokens_today: count,
      completion_tokens_today: count,
    }),
  })
  .openapi('TenantWithUsage');

export const tenantList = z.object({ object: z.literal('list'), data: z.array(tenant) }).openapi('TenantList');

/** The body of `PATCH /api/tenants/{tenant}`: what is absent stays as it is. */
export const tenantChange = z.strictObject(limits).partial().openapi('TenantChange');

export const erasedTenant = z
  .object({
    object: z.literal('tenant.erasure'),
    id: z.string().nullable().openapi({ description: 'As the audit log has it; null: it was only planned.' }),
    adapters: count,
    adapter_bytes: count,
    files: count,
    file_bytes: count,
    jobs: count,
    job_bytes: count,
    keys: count,
    blobs_removed: count,
    blobs_shared: count.openapi({ description: 'They stay, because others have the same content.' }),
    usage_rows: count.openapi({ description: 'They stay as sums without a name.' }),
    audit_entries: count.openapi({ description: 'Only their times, actions and hashes stay.' }),
  })
  .openapi('TenantErasure');

export function erasedTenantOf(of: TenantErasure): z.output<typeof erasedTenant> {
  return {
    object: 'tenant.erasure',
    id: of.id,
    adapters: of.adapters,
    adapter_bytes: of.adapterBytes,
    files: of.files,
    file_bytes: of.fileBytes,
    jobs: of.jobs,
    job_bytes: of.jobBytes,
    keys: of.keys,
    blobs_removed: of.blobsRemoved,
    blobs_shared: of.blobsShared,
    usage_rows: of.usageRows,
    audit_entries: of.auditEntries,
  };
}

/** The body of `POST /api/tenants`. */
export const newTenant = z.strictObject({ ...tenantChange.shape, name: nameField }).openapi('NewTenant');

export function tenantOf(of: Tenant): z.output<typeof tenant> {
  return {
    object: 'tenant',
    name: of.name,
    created_at: Math.floor(of.createdAt / 1000),
    weight: of.weight,
    max_concurrency: of.maxConcurrent,
    requests_per_minute: of.requestsPerMinute,
    tokens_per_minute: of.tokensPerMinute,
    max_priority: of.maxPriority,
    max_adapters: of.maxAdapters,
    max_adapter_bytes: of.maxAdapterBytes,
  };
}

export function tenantWithUsageOf(of: Tenant, usage: TenantUsage): z.output<typeof tenantWithUsage> {
  return {
    ...tenantOf(of),
    usage: {
      requests_in_flight: usage.requestsInFlight,
      requests_remaining: usage.requestsRemaining,
      tokens_remaining: usage.tokensRemaining,
      adapters: usage.adapters,
      adapter_bytes: usage.adapterBytes,
      requests_today: usage.requestsToday,
      prompt_tokens_today: usage.promptTokensToday,
      completion_tokens_today: usage.completionTokensToday,
    },
  };
}

export function limitsOf(change: z.output<typeof tenantChange>): Partial<TenantLimits> {
  const named = {
    weight: change.weight,
    maxConcurrent: change.max_concurrency,
    requestsPerMinute: change.requests_per_minute,
    tokensPerMinute: change.tokens_per_minute,
    maxPriority: change.max_priority,
    maxAdapters: change.max_adapters,
    maxAdapterBytes: change.max_adapter_bytes,
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}
