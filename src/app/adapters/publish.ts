import { compileAdapter, methodOf, probeAdapter, readArtefact } from '../../adapters/index.ts';
import type { PeftConfig } from '../../formats/index.ts';
import { openBase, type BaseModel } from '../../model/index.ts';
import { loadNativeKernels } from '../../numeric/index.ts';
import type { AdapterVersion, JsonValue, TrainingData } from '../../registry/index.ts';
import type { Base } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_CLI, publication } from '../governance/entries.ts';
import { openPlatform } from '../platform.ts';
import { probeRows } from './row-probe.ts';

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
 * The one way into the registry. First the proof (adapters/proof): the adapter fits the base, it has an effect, and it gives in a batch what an
 * independent pass gives. Then the tenant's quotas, in the transaction that adds the version. Where the task has a gate, nothing answers by the
 * version before a promotion.
 * @throws ADAPTER_INVALID QUOTA_EXCEEDED leave the registry as it was
 */
export async function publishProven(
  config: AppConfig,
  base: Base,
  folder: string,
  { tenant, task }: { readonly tenant: string; readonly task: string },
  { metrics, provenance, data, isStaged = false }: PublicationFacts,
): Promise<Published> {
  const model = openForProof(config, base);
  const adapter = readArtefact(folder, model);
  const { parity } = probeAdapter(model, adapter);
  const rows = probeRows(model, compileAdapter(adapter, model));
  let parameters = 0;
  for (const { data } of adapter.tensors.values()) parameters += data.length;
  await using platform = await openPlatform(config);
  const { maxAdapters, maxAdapterBytes } = platform.tenants.limitsOf(tenant);
  const isGated = platform.delivery.gates.find(tenant, task) !== undefined;
  const { version } = await platform.registry.publish(tenant, task, folder, {
    base: { name: base.name, digest: base.digest },
    method: methodOf(adapter.config).name,
    rank: rankOf(adapter.config),
    parameters,
    classes: adapter.classes,
    ...(metrics && { metrics }),
    provenance: {
      ...provenance,
      ...(parity && { parityError: parity.error, changeOfLogits: parity.change }),
      ...(rows && { rowParityError: rows.error }),
    },
    data,
    ...((isGated || isStaged) && { alias: null }),
    allowance: { maxAdapters, maxBytes: maxAdapterBytes },
    onPublish: (added) => void platform.audit.record(publication(ACTOR_CLI, added)),
  });
  return { version, config: adapter.config, isGated };
}

/** As the base is held, but with products in float32: what others round is as large as a mistake that the proof is to find. */
export function openForProof({ threads }: AppConfig, { open }: Pick<Base, 'open'>): BaseModel {
  const kernels = loadNativeKernels(threads === undefined ? {} : { threads });
  return openBase({ ...open, computeDtype: 'f32' }, kernels);
}

/** Null for a method without a rank. OFT's `r` is a number of blocks. */
export function rankOf(config: PeftConfig): number | null {
  return 'r' in config && config.peft_type !== 'OFT' ? config.r : null;
}
