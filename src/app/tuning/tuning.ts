import { errorMessage, type Log } from '../../base/index.ts';
import type { Services } from '../../http/index.ts';
import { JobRunner } from '../../jobs/index.ts';
import type { Base } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_SERVER, fileEntry } from '../governance/entries.ts';
import type { Platform } from '../platform.ts';
import { DataChecker } from './data-checker.ts';
import { makeDataServices } from './data-services.ts';
import { makeFileServices } from './file-services.ts';
import { makeJobServices } from './job-services.ts';
import { TuningWork } from './job-work.ts';

/** Between two removals of what has expired. */
const UPKEEP_MS = 60_000;

/** Fine-tuning as a service. Disposing of it saves the runs that are on their way and gives their jobs back. */
export interface Tuning extends Pick<Services, 'data' | 'files' | 'jobs'>, AsyncDisposable {}

export interface TuningLimits {
  /** Training processes at once; with 0, jobs are only queued, for another process. */
  readonly maxConcurrent: number;
  /** Jobs that share one, at most. */
  readonly maxTogether: number;
}

/** Starts the runner of fine-tuning jobs. */
export async function startTuning(
  config: AppConfig,
  platform: Platform,
  bases: readonly Base[],
  limits: TuningLimits,
  log: Log,
): Promise<Tuning> {
  await using stack = new AsyncDisposableStack();
  const checker = stack.use(new DataChecker());
  const work = stack.use(new TuningWork(config, platform, bases, checker, log));
  const runner = stack.use(new JobRunner(platform.leases, work, { ...limits, log }));
  const keepUp = async (): Promise<void> => {
    try {
      platform.files.removeExpired((file) => {
        platform.audit.record(fileEntry(ACTOR_SERVER, 'file.expire', file));
      });
      platform.uploads.removeExpired();
      await work.cleanUp();
    } catch (error) {
      log.error({ error: errorMessage(error) }, 'expired files could not be removed');
    }
  };
  await platform.files.sweep();
  await keepUp();
  const upkeep = setInterval(() => void keepUp(), UPKEEP_MS);
  stack.defer(() => clearInterval(upkeep));
  runner.start();
  const owned = stack.move();
  return {
    data: makeDataServices(config, platform, bases, checker, log),
    files: makeFileServices(platform, checker),
    jobs: makeJobServices(platform, bases, () => runner.wake()),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
