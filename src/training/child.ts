/**
 * A training process: a crash or a kill here never reaches serving. Forked by app/runs/trainer-process.ts with a {@link TrainJob} or by
 * app/runs/train-group.ts with a {@link GroupJob} as its first message.
 */
import { remoteError, systemClock } from '../base/index.ts';
import { GroupInbox } from './group-inbox.ts';
import { runGroup } from './group-job.ts';
import { STOP, type FromGroup, type FromTrainer, type GroupJob, type ToGroup, type TrainJob } from './messages.ts';
import { runJob } from './job.ts';

/** Settles when the newest message, and so every earlier one, has left this process. */
let sent: Promise<void> = Promise.resolve();
let mustStop = false;

function send(message: FromTrainer | FromGroup): void {
  sent = new Promise((resolve) => process.send?.(message, () => resolve()));
}

function start(job: TrainJob | GroupJob): Promise<void> {
  if ('type' in job) {
    const inbox = new GroupInbox();
    process.on('message', (message: ToGroup) => inbox.put(message));
    return runGroup(job, inbox, systemClock, send);
  }
  process.on('message', (message) => {
    if (message === STOP) mustStop = true;
  });
  return runJob(job, systemClock, send, () => mustStop);
}

// A terminal and a service manager send these to the whole group: whoever started this process decides, and says STOP or goes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.once('message', (job: TrainJob | GroupJob) => {
  void start(job)
    .catch((error: unknown) => {
      send({ type: 'failed', error: remoteError(error) });
      process.exitCode = 1;
    })
    // A long list of problems takes a while to leave, and what has not left at the disconnect is lost.
    .then(() => sent)
    .finally(() => process.disconnect());
});
// The parent is gone: nobody would read the result, and the last checkpoint is safe.
process.once('disconnect', () => process.exit());
