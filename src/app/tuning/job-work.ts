import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { EspalierError, fail, systemClock, type Log } from '../../base/index.ts';
import {
  DEFAULT_TASK,
  resolveHyperparameters,
  type CheckpointMetrics,
  type Job,
  type JobLease,
  type JobWork,
  type Place,
} from '../../jobs/index.ts';
import { referenceOf, type AdapterVersion, type PublishResult } from '../../registry/index.ts';
import { CHECKPOINT_FILE, type TrainJob, type TrainResult } from '../../training/index.ts';
import { proveOnThread } from '../adapters/proof-thread.ts';
import { allowanceOf } from '../adapters/publish.ts';
import { describeBase, resolveBase, type Base } from '../bases.ts';
import { machineForEstimates } from '../bench/machine.ts';
import type { AppConfig } from '../config.ts';
import { actorOfJob, adapterEntry } from '../governance/entries.ts';
import type { Platform } from '../platform.ts';
import { metricsOf } from '../runs/train.ts';
import type { CheckedData } from './check-messages.ts';
import type { DataChecker } from './data-checker.ts';
import { estimateOutcome } from './estimate.ts';
import { JobReporter, type PublishSnapshot } from './job-reporter.ts';
import { JobTrainers } from './job-trainers.ts';
import { formatOf, usableContext } from './peft.ts';
import { publishJob, type JobProduct } from './publish-job.ts';
import { jobFolder, trainJobOf } from './recipe.ts';
import { stepMetricsCsv } from './step-metrics.ts';
import { NO_CHECKPOINT, whyUnusable } from './why-anew.ts';

/** The task of checkpoints, so that they take no numbers of the tenant's own tasks. */
const CHECKPOINT_TASK = 'ft-checkpoints';

/** What a runner does with a job: checks its data, trains it, publishes what comes of it. */
export class TuningWork implements JobWork, AsyncDisposable {
  readonly #config: AppConfig;
  readonly #platform: Platform;
  /** Those that the server has. */
  readonly #bases: readonly Base[];
  readonly #checker: DataChecker;
  readonly #log: Log;
  readonly #trainers: JobTrainers;

  constructor(config: AppConfig, platform: Platform, bases: readonly Base[], checker: DataChecker, log: Log) {
    this.#config = config;
    this.#platform = platform;
    this.#bases = bases;
    this.#checker = checker;
    this.#log = log;
    this.#trainers = new JobTrainers(log);
  }

  async validate(lease: JobLease): Promise<void> {
    const { job } = lease;
    const base = await this.#base(job);
    const { config } = describeBase(base);
    const contextLength = usableContext(job.peft, config);
    const { examples, tokens, labels } = await this.#check(base, contextLength, job.training, 'training_file');
    if (job.validation) await this.#check(base, contextLength, job.validation, 'validation_file', labels);
    const size = { examples, tokens, ...(labels && { labels: labels.length }) };
    const resolved = resolveHyperparameters(job.hyperparameters, job.method, size);
    const machine = machineForEstimates(this.#config.home, this.#log);
    const { seconds, adapterBytes } = estimateOutcome({ config, peft: job.peft, resolved, machine });
    // Before anything is computed.
    const { registry, tenants } = this.#platform;
    registry.requireRoom(job.tenant, adapterBytes, allowanceOf(tenants, job.tenant));
    this.#platform.leases.validated(lease, resolved, systemClock.epochMs() + 1000 * seconds);
  }

  /** Jobs of one base in one format, whatever they learn. */
  shareKey({ base, peft }: Job): string {
    return `${base.digest} in ${formatOf(peft)}`;
  }

  vacate(place: Place): void {
    this.#trainers.vacate(place);
  }

  /** Settles when its processes have ended. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#trainers[Symbol.asyncDispose]();
  }

  async train(lease: JobLease, signal: AbortSignal, place: Place): Promise<void> {
    try {
      await this.#train(lease, signal, place);
    } catch (error) {
      if (!(error instanceof EspalierError && error.code === 'CHECKPOINT_INVALID')) throw error;
      // Of another version of the program, with products that are rounded otherwise, or damaged.
      this.#log.warn({ job: lease.job.id, error: error.message }, 'a checkpoint cannot be gone on from');
      if (await this.#startAnew(lease, whyUnusable(error))) await this.#train(lease, signal, place);
    }
  }

  /** Nothing of what was reached is left, or can be gone on from: nothing of it is told any more. @returns whether that counts */
  async #startAnew(lease: JobLease, why: string): Promise<boolean> {
    const { job } = lease;
    this.#log.warn({ job: job.id, why }, 'a job starts anew');
    const gone = this.#platform.leases.startAnew(lease, why);
    if (!gone) return false;
    for (const reference of gone) await this.#remove(job, reference);
    await this.#removeForgotten(job);
    await rm(jobFolder(this.#platform.work, job.id), { recursive: true, force: true });
    return true;
  }

  async #train(lease: JobLease, signal: AbortSignal, place: Place): Promise<void> {
    const { job } = lease;
    const { leases, files } = this.#platform;
    const base = await this.#base(job);
    const folder = jobFolder(this.#platform.work, job.id);
    await using training = await files.plain(job.training.digest);
    await using validation = job.validation === null ? null : await files.plain(job.validation.digest);
    const data = { training: training.path, validation: validation?.path ?? null };
    const resume = existsSync(join(folder, CHECKPOINT_FILE));
    if (resume) await this.#removeForgotten(job);
    // The folder was lost, or whoever trained it was killed before the first checkpoint.
    else if (leases.hasSteps(lease) && !(await this.#startAnew(lease, NO_CHECKPOINT))) return;
    const trainJob = trainJobOf(this.#config, folder, data, base, job, resume);
    const publish: PublishSnapshot = async (metrics, directory) => {
      if (leases.heartbeat(lease) !== 'running') return false;
      if (leases.hasCheckpoint(lease, metrics.step)) return true;
      const published = await this.#publishCheckpoint(lease, base, metrics.step, {
        task: CHECKPOINT_TASK,
        folder: directory,
        parameters: reporter.trainableParameters,
        metrics: scoresOf(metrics),
        isCheckpoint: true,
      });
      if (!published) return true;
      const gone = leases.addCheckpoint(lease, metrics, referenceOf(published.version));
      if (gone) for (const reference of gone) await this.#remove(job, reference);
      else await this.#retract(job, published);
      return gone !== undefined;
    };
    const reporter: JobReporter = new JobReporter(leases, lease, folder, publish, this.#log);
    let result: TrainResult | undefined;
    try {
      result = await this.#run(place, job.id, trainJob, reporter, signal);
    } finally {
      await reporter.finish();
    }
    if (!result) return;
    const proof = await proveOnThread({ open: base.open, threads: this.#config.threads, folder: result.output });
    // Whoever has lost the lease, or was told to stop, publishes nothing.
    if (leases.heartbeat(lease) !== 'running') return;
    const published = await publishJob(this.#platform, base, job, {
      task: job.suffix ?? DEFAULT_TASK,
      folder: result.output,
      parameters: result.trainableParameters,
      metrics: metricsOf(result),
      proof,
      kept: {
        recipe: {
          config: { ...trainJob.config, method: job.peft.method, baseFormat: result.baseFormat },
          textDigest: result.textDigest,
        },
        data: [
          { role: 'train', path: training.path },
          ...(validation === null ? [] : [{ role: 'valid', path: validation.path } as const]),
        ],
      },
    });
    const csv = Buffer.from(stepMetricsCsv(leases.stepMetrics(lease)));
    const reference = referenceOf(published.version);
    const counts = await files.stage([csv], csv.length, (results) =>
      leases.succeeded(lease, { reference, trainedTokens: result.trainedTokens, results }),
    );
    if (!counts) await this.#retract(job, published);
  }

  /** @returns undefined where the tenant has no room for it: it is left out, so that what the job comes to has room */
  async #publishCheckpoint(
    lease: JobLease,
    base: Base,
    step: number,
    product: JobProduct,
  ): Promise<PublishResult | undefined> {
    try {
      return await publishJob(this.#platform, base, lease.job, product);
    } catch (error) {
      if (!(error instanceof EspalierError && error.code === 'QUOTA_EXCEEDED')) throw error;
      const message = `The checkpoint at step ${step} is left out: ${error.message}`;
      this.#platform.leases.tell(lease, [{ level: 'warn', message }], null);
      return undefined;
    }
  }

  /** Takes back what was published for a job that was stopped in that moment. */
  async #retract(job: Job, { version, isNew }: PublishResult): Promise<void> {
    const reference = referenceOf(version);
    this.#log.info({ reference }, 'a job was stopped while this was published');
    if (isNew) await this.#remove(job, reference);
  }

  /** Removes what a killed server had published but not noted as a checkpoint, or had struck off the list but not removed: nothing names it. */
  async #removeForgotten(job: Job): Promise<void> {
    const { registry, leases } = this.#platform;
    const isOwn = ({ task, provenance }: AdapterVersion): boolean =>
      task === CHECKPOINT_TASK && provenance['job'] === job.id;
    const references = [...registry.each(job.tenant)].filter(isOwn).map(referenceOf);
    for (const reference of references) if (!leases.isCheckpoint(reference)) await this.#remove(job, reference);
  }

  /** Removes a version of a job's own; one that the tenant has named, or removed itself, is the tenant's. */
  async #remove(job: Job, reference: string): Promise<void> {
    const { registry, audit } = this.#platform;
    const note = (version: AdapterVersion): void =>
      void audit.record(adapterEntry(actorOfJob(job), 'adapter.remove', version));
    try {
      await registry.remove(job.tenant, reference, note);
    } catch (error) {
      if (!(error instanceof EspalierError && TENANTS_OWN.has(error.code))) throw error;
      this.#log.info({ job: job.id, reference, error: error.message }, 'a version of a job is not its own any more');
    }
  }

  /** Removes the working folders of jobs that have ended, and what a killed server left of them in the registry. */
  async cleanUp(): Promise<void> {
    const root = join(this.#platform.work, 'jobs');
    const ids = existsSync(root) ? await readdir(root) : [];
    for (const { id, job } of this.#platform.leases.ended(ids)) {
      if (job) await this.#removeForgotten(job);
      await rm(join(root, id), { recursive: true, force: true });
    }
  }

  async #run(
    place: Place,
    id: string,
    trainJob: TrainJob,
    reporter: JobReporter,
    signal: AbortSignal,
  ): Promise<TrainResult | undefined> {
    // Work that is of no use ends at once; other work is saved first.
    const abort = new AbortController();
    const stop = new AbortController();
    const onSignal = (): void =>
      signal.reason === 'paused' || signal.reason === 'closing' ? stop.abort() : abort.abort();
    signal.addEventListener('abort', onSignal, { once: true });
    if (signal.aborted) onSignal();
    try {
      return await this.#trainers.run(place, id, trainJob, reporter, { abort: abort.signal, stop: stop.signal });
    } finally {
      signal.removeEventListener('abort', onSignal);
    }
  }

  async #base({ base, peft }: Job): Promise<Base> {
    // A base that the server was given by its path is called after it, and found there only.
    const path = this.#bases.find(({ digest }) => digest === base.digest)?.open.path;
    const isByPath = path !== undefined && basename(path) === base.name;
    const name = isByPath ? path : base.name;
    const found = await resolveBase(this.#config, name, undefined, formatOf(peft), 'training');
    if (found.digest === base.digest) return found;
    return fail('MODEL_INVALID', `the base ${base.name} is no longer the one that the job was made for: make it anew`);
  }

  /** @param labels of the training file, which a held-out one has too */
  async #check(
    base: Base,
    contextLength: number,
    file: Job['training'],
    param: string,
    labels?: readonly string[],
  ): Promise<CheckedData> {
    try {
      await using plain = await this.#platform.files.plain(file.digest);
      return await this.#checker.check({
        path: plain.path,
        name: file.id,
        base: { path: base.open.path, contextLength, labels },
      });
    } catch (error) {
      if (!(error instanceof EspalierError && error.code === 'DATA_INVALID')) throw error;
      return fail('DATA_INVALID', error.message, { param, problems: error.problems, cause: error });
    }
  }
}

/** Why a version of a job's cannot be removed by the job. */
const TENANTS_OWN: ReadonlySet<string> = new Set(['ADAPTER_IN_USE', 'ADAPTER_NOT_FOUND']);

function scoresOf({ trainLoss, validLoss, validAccuracy }: CheckpointMetrics): Record<string, number> {
  return {
    trainLoss,
    ...(validLoss !== null && { validLoss }),
    ...(validAccuracy !== null && { validAccuracy }),
  };
}
