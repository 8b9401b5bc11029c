/** A training process: a crash or a kill here never reaches serving. Forked by app/trainer-process.ts with a {@link TrainJob} as its first message. */
import { EspalierError, errorMessage, systemClock } from '../base/index.ts';
import { STOP, type FromTrainer, type TrainJob } from './messages.ts';
import { runJob } from './job.ts';

/** Settles when the newest message, and so every earlier one, has left this process. */
let sent: Promise<void> = Promise.resolve();
let mustStop = false;

function send(message: FromTrainer): void {
  sent = new Promise((resolve) => process.send?.(message, () => resolve()));
}

process.once('message', (job: TrainJob) => {
  process.on('message', (message) => {
    if (message === STOP) mustStop = true;
  });
  void runJob(job, systemClock, send, () => mustStop)
    .catch((error: unknown) => {
      const known = error instanceof EspalierError ? error : new EspalierError('INTERNAL', errorMessage(error));
      const { code, message, param, problems } = known;
      send({ type: 'failed', error: { code, message, param, problems } });
      process.exitCode = 1;
    })
    // A long list of problems takes a while to leave, and what has not left at the disconnect is lost.
    .then(() => sent)
    .finally(() => process.disconnect());
});
// The parent is gone: nobody would read the result, and the last checkpoint is safe.
process.once('disconnect', () => process.exit());
