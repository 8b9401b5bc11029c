import type { Digest } from '../../src/base/index.ts';
import { ALL_AUTO } from '../../src/jobs/hyperparameters.ts';
import type { NewJob } from '../../src/jobs/job.ts';

/** A supervised job on the base tiny, whose file has this digest. */
export function newJob(tenant: string, digest: Digest, more: Partial<NewJob> = {}): NewJob {
  return {
    tenant,
    base: { name: 'tiny', digest },
    method: 'supervised',
    hyperparameters: ALL_AUTO,
    suffix: null,
    seed: 0,
    training: { id: 'file-1', digest },
    validation: null,
    metadata: {},
    ...more,
  };
}
