import { methodOf } from '../../adapters/index.ts';
import type { PeftConfig } from '../../formats/index.ts';
import type { AdapterVersion, Allowance, JsonValue, TrainingData } from '../../registry/index.ts';
import type { Base } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_CLI, publication } from '../governance/entries.ts';
import { openPlatform, type Platform } from '../platform.ts';
import { openForProof, proveFolder } from './proof.ts';

/** What the artefact itself does not say. */
export interface PublicationFacts {
  readonly metrics?: Readonly<Record<string, number>>;
  readonly provenance: Readonly<Record<string, JsonValue>>;
  /** What it was trained on; it is kept with the version. */
  readonly data?: readonly TrainingData[] | undefined;
  /** It is to be looked at before anything answers by it: no alias moves. */
  readonly isStaged?: boolean | undefined;
}

export interface Published {
  readonly version: AdapterVersion;
  readonly config: PeftConfig;
  /** The task has a gate, so that `latest` did not move: a promotion has to pass it. */
  readonly isGated: boolean;
}

/**
 * Into the registry, by the command line's way; a job's is tuning/publish-job.ts. First the proof (proof.ts), then the tenant's
 * quotas, in the transaction that adds the version. Where the task has a gate, nothing answers by the version before a promotion.
 * @throws ADAPTER_INVALID QUOTA_EXCEEDED leave the registry as it was
 */
export async function publishProven(
  config: AppConfig,
  base: Base,
  folder: string,
  { tenant, task }: { readonly tenant: string; readonly task: string },
  { metrics, provenance, data, isStaged = false }: PublicationFacts,
): Promise<Published> {
  const { adapter, parameters, figures } = proveFolder(openForProof(config, base), folder);
  await using platform = await openPlatform(config);
  const isGated = platform.delivery.gates.find(tenant, task) !== undefined;
  const { version } = await platform.registry.publish(tenant, task, folder, {
    base: { name: base.name, digest: base.digest },
    method: methodOf(adapter.config).name,
    rank: rankOf(adapter.config),
    parameters,
    classes: adapter.classes,
    ...(metrics && { metrics }),
    provenance: { ...provenance, ...figures },
    data,
    ...((isGated || isStaged) && { alias: null }),
    allowance: allowanceOf(platform.tenants, tenant),
    onPublish: (added) => void platform.audit.record(publication(ACTOR_CLI, added)),
  });
  return { version, config: adapter.config, isGated };
}

/** How much a tenant may have in the registry. */
export function allowanceOf(tenants: Platform['tenants'], tenant: string): Allowance {
  const { maxAdapters, maxAdapterBytes } = tenants.limitsOf(tenant);
  return { maxAdapters, maxBytes: maxAdapterBytes };
}

/** Null for a method without a rank. OFT's `r` is a number of blocks. */
export function rankOf(config: PeftConfig): number | null {
  return 'r' in config && config.peft_type !== 'OFT' ? config.r : null;
}
