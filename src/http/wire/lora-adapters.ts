import { z } from '@hono/zod-openapi';
import type { TierStats } from '../../serving/index.ts';
import type { NamedResidence, Unloaded } from '../adapter-services.ts';

const notSupported = (what: string) => `is not supported: ${what}`;

/** The body of vLLM's `POST /v1/load_lora_adapter`. */
export const loadLoraAdapterRequest = z
  .strictObject({
    lora_name: z
      .string()
      .openapi({ description: 'Letters, digits, ".", "_", "-": the tenant’s own name for it on this server.' }),
    lora_path: z.string().max(512).openapi({
      description: 'A reference of the registry: TENANT/TASK, TENANT/TASK@VERSION, sha256:…. Never a path or a URL.',
    }),
    load_inplace: z.boolean().nullish().openapi({ description: 'Replace what the name points at.' }),
    is_3d_lora_weight: z
      .literal(false, notSupported('mixtures of experts have no adapters here'))
      .nullish()
      .openapi({ description: 'Only false or null.' }),
  })
  .openapi('LoadLoraAdapterRequest');

/** The body of vLLM's `POST /v1/unload_lora_adapter`. */
export const unloadLoraAdapterRequest = z
  .strictObject({
    lora_name: z.string(),
    lora_int_id: z
      .null(notSupported('an adapter is unloaded by its name'))
      .optional()
      .openapi({ type: 'null', description: 'Only null.' }),
  })
  .openapi('UnloadLoraAdapterRequest');

const bytes = z.int().min(0);

export const unloadedLoraAdapter = z
  .object({
    object: z.literal('lora_adapter.unloaded'),
    name: z.string(),
    digest: z.string(),
    freed_bytes: bytes,
    in_use_bytes: bytes.openapi({ description: 'Freed when the requests that use them have ended.' }),
    shared_bytes: bytes.openapi({ description: 'Stay, because another name or tenant has the same adapter.' }),
  })
  .openapi('UnloadedLoraAdapter');

const residence = z
  .object({
    object: z.literal('lora_adapter'),
    digest: z.string(),
    base: z.string(),
    names: z.array(z.string()),
    state: z.enum(['waiting', 'loading', 'ready', 'in-use', 'evicting', 'host', 'failed']),
    ready_bytes: bytes,
    host_bytes: bytes,
    leases: z.int().openapi({ description: 'Requests in flight.' }),
    pinned: z.boolean(),
    last_used: z.int().nullable().openapi({ description: 'Seconds since 1970.' }),
    reason: z.string().nullable().openapi({ description: 'Why it failed.' }),
  })
  .openapi('LoraAdapter');

const tier = z
  .object({ adapters: z.int(), bytes, held_bytes: bytes, budget_bytes: bytes, evictions: z.int() })
  .openapi('MemoryTier');

export const loraAdapterList = z
  .object({
    object: z.literal('list'),
    data: z.array(residence),
    tiers: z.object({ ready: tier, host: tier }).optional().openapi({ description: 'For the operator’s key.' }),
  })
  .openapi('LoraAdapterList');

export function residenceOf(of: NamedResidence): z.output<typeof residence> {
  return {
    object: 'lora_adapter',
    digest: of.digest,
    base: of.base,
    names: [...of.names],
    state: of.state,
    ready_bytes: of.readyBytes,
    host_bytes: of.hostBytes,
    leases: of.numLeases,
    pinned: of.isPinned,
    last_used: of.lastUsedMs === null ? null : Math.floor(of.lastUsedMs / 1000),
    reason: of.reason ?? null,
  };
}

export function tierOf({ count, sizeBytes, heldBytes, budgetBytes, numEvicted }: TierStats): z.output<typeof tier> {
  return { adapters: count, bytes: sizeBytes, held_bytes: heldBytes, budget_bytes: budgetBytes, evictions: numEvicted };
}

export function unloadedOf(
  name: string,
  { digest, freedBytes, inUseBytes, sharedBytes }: Unloaded,
): z.output<typeof unloadedLoraAdapter> {
  return {
    object: 'lora_adapter.unloaded',
    name,
    digest,
    freed_bytes: freedBytes,
    in_use_bytes: inUseBytes,
    shared_bytes: sharedBytes,
  };
}
