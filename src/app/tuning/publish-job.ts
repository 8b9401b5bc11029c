import { methodOf } from '../../adapters/index.ts';
import { readClasses } from '../../formats/index.ts';
import type { Job } from '../../jobs/index.ts';
import type { JsonValue, PublishResult, TrainingData } from '../../registry/index.ts';
import type { ProofFigures } from '../adapters/proof.ts';
import { allowanceOf, rankOf } from '../adapters/publish.ts';
import { describeBase, type Base } from '../bases.ts';
import { actorOfJob, publication } from '../governance/entries.ts';
import type { Platform } from '../platform.ts';
import { VERSION } from '../version.ts';
import { adapterOf } from './peft.ts';

/** What a job has made, and where it goes. */
export interface JobProduct {
  readonly task: string;
  readonly folder: string;
  readonly parameters: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** What the version keeps of its proof: of checkpoints nothing. */
  readonly proof?: ProofFigures;
  /** Whether there has to be room for what the job comes to as well. */
  readonly isCheckpoint?: boolean;
  /** What the version keeps, so that it can be trained anew: of checkpoints nothing. */
  readonly kept?: { readonly recipe: object; readonly data: readonly TrainingData[] };
}

/** Equal content of a task is one version: what is published again after a crash is what was published before. @throws QUOTA_EXCEEDED */
export function publishJob(
  { registry, tenants, audit }: Pick<Platform, 'registry' | 'tenants' | 'audit'>,
  base: Base,
  job: Job,
  { task, folder, parameters, metrics, proof, isCheckpoint = false, kept }: JobProduct,
): Promise<PublishResult> {
  const adapter = adapterOf(job.peft, describeBase(base).config, job.method);
  return registry.publish(job.tenant, task, folder, {
    base: { name: base.name, digest: base.digest },
    method: methodOf(adapter).name,
    rank: rankOf(adapter),
    parameters,
    classes: readClasses(folder),
    metrics,
    provenance: {
      job: job.id,
      trainingData: job.training.digest,
      validationData: job.validation?.digest ?? null,
      seed: job.seed,
      hyperparameters: { ...job.resolved, size: { ...job.resolved?.size } },
      peft: { ...job.peft },
      codeVersion: VERSION,
      ...proof,
      ...(JSON.parse(JSON.stringify(kept?.recipe ?? {})) as Record<string, JsonValue>),
    },
    data: kept?.data,
    // What a task answers with is changed by a promotion and by nothing else.
    alias: null,
    allowance: { ...allowanceOf(tenants, job.tenant), spare: isCheckpoint ? 1 : 0 },
    onPublish: (version) => void audit.record(publication(actorOfJob(job), version, { job: job.id })),
  });
}
