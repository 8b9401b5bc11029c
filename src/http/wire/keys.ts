import { z } from '@hono/zod-openapi';
import type { ApiKey, NewApiKey } from '../../tenancy/index.ts';
import { nameField } from './name.ts';

const role = z.enum(['admin', 'writer', 'reader']);
const seconds = z.int().min(0);

const key = z.object({
  object: z.literal('api_key'),
  id: z.string(),
  tenant: z.string().nullable().openapi({ description: 'null is the operator.' }),
  role,
  name: z.string(),
  project: z.string().nullable(),
  hint: z.string().openapi({ description: 'The first characters of the key.' }),
  created_at: seconds.openapi({ description: 'Seconds since 1970, as are the others.' }),
  expires_at: seconds.nullable(),
  revoked_at: seconds.nullable(),
});

export const apiKey = key.openapi('ApiKey');
export const newApiKey = key
  .extend({ secret: z.string().openapi({ description: 'The key itself; it is never shown again.' }) })
  .openapi('NewApiKey');
export const apiKeyList = z.object({ object: z.literal('list'), data: z.array(apiKey) }).openapi('ApiKeyList');

/** The body of `POST /api/keys`. */
export const createKeyRequest = z
  .strictObject({
    tenant: z.string().max(63).nullish().openapi({
      description: 'Whose; the key’s own tenant unless told. The operator’s own with null: its role is admin.',
    }),
    role,
    name: z.string().max(200).optional().openapi({ description: 'What it is for.' }),
    project: nameField.nullish().openapi({ description: 'To which its usage is counted.' }),
    expires_at: seconds.nullish().openapi({ description: 'Seconds since 1970; never unless told.' }),
  })
  .openapi('CreateApiKeyRequest');

export function keyOf(of: ApiKey): z.output<typeof apiKey> {
  return {
    object: 'api_key',
    id: of.keyId,
    tenant: of.tenant,
    role: of.role,
    name: of.label,
    project: of.project,
    hint: of.hint,
    created_at: toSeconds(of.createdAt),
    expires_at: of.expiresAt === null ? null : toSeconds(of.expiresAt),
    revoked_at: of.revokedAt === null ? null : toSeconds(of.revokedAt),
  };
}

export function askedKey({
  tenant,
  role: asked,
  name,
  project,
  expires_at,
}: z.output<typeof createKeyRequest>): Omit<NewApiKey, 'tenant'> & { readonly tenant?: string | null | undefined } {
  return {
    tenant,
    role: asked,
    label: name ?? '',
    project: project ?? null,
    expiresAt: typeof expires_at === 'number' ? expires_at * 1000 : null,
  };
}

function toSeconds(epochMs: number): number {
  return Math.floor(epochMs / 1000);
}
