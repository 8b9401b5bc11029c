import { fork, type ChildProcess } from 'node:child_process';
import { EspalierError, rebuildError } from '../../base/index.ts';
import {
  STOP,
  type FromTrainer,
  type Sample,
  type TrainJob,
  type TrainResult,
  type TrainStarted,
} from '../../training/index.ts';

export interface TrainerEvents {
  onStarted?(started: TrainStarted): void;
  onStep?(event: Extract<FromTrainer, { type: 'step' }>): void;
  onSamples?(samples: readonly Sample[]): void;
  onSnapshot?(event: Extract<FromTrainer, { type: 'snapshot' }>): void;
}

export interface TrainerSignals {
  /** Ends the process at once. */
  readonly abort?: AbortSignal | undefined;
  /** Lets it save after the step that it is in, and go. */
  readonly stop?: AbortSignal | undefined;
}

/**
 * How V8 keeps a training process's heap: it collects before the heap has grown by half of what is alive, since what it once had for tokenizing
 * the data it would keep beside the weights and activations (135 MiB less at the peak, for a sixth more time before the first step).
 */
export const TRAINER_FLAGS = ['--heap-growing-percent=20', '--max-semi-space-size=4'] as const;

/** A process that waits for its job (training/child.ts). */
export function forkTrainer(): ChildProcess {
  const child = new URL('../../training/child.ts', import.meta.url);
  return fork(child, { serialization: 'advanced', execArgv: [...TRAINER_FLAGS] });
}

/** What a run says before its end. */
type Underway = Extract<FromTrainer, { type: 'started' | 'step' | 'samples' | 'snapshot' }>;

/** What waits for the end of a run. */
interface Ending {
  readonly settle: (result: TrainResult | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Hands on what a run says: on its way to `events`, its end to whoever waits for it. */
export function hear(message: FromTrainer, events: TrainerEvents, { settle, reject }: Ending): void {
  if (tellEvents(events, message)) return;
  switch (message.type) {
    case 'stopped':
      settle(undefined);
      return;
    case 'done':
      settle(message.result);
      return;
    case 'failed':
      reject(rebuildError(message.error));
      return;
    default:
      message satisfies never;
  }
}

/** @returns false for a message that is the run's end */
function tellEvents(events: TrainerEvents, message: FromTrainer): message is Underway {
  switch (message.type) {
    case 'started':
      events.onStarted?.(message.started);
      return true;
    case 'step':
      events.onStep?.(message);
      return true;
    case 'samples':
      events.onSamples?.(message.samples);
      return true;
    case 'snapshot':
      events.onSnapshot?.(message);
      return true;
    default:
      return false;
  }
}

/**
 * Trains in a process of its own.
 * @returns undefined when it was stopped: its checkpoint is there for another to go on
 * @throws what the run throws; CANCELLED; TRAINER_DIED something else has ended the process: the last checkpoint stays
 */
export function runTrainer(
  job: TrainJob,
  events: TrainerEvents = {},
  { abort, stop }: TrainerSignals = {},
): Promise<TrainResult | undefined> {
  const child = forkTrainer();
  const onAbort = (): void => void child.kill('SIGKILL');
  // It may be gone already, and then needs no telling.
  const onStop = (): void => void (child.connected && child.send(STOP, () => undefined));
  abort?.addEventListener('abort', onAbort, { once: true });
  stop?.addEventListener('abort', onStop, { once: true });
  const finished = new Promise<TrainResult | undefined>((settle, reject) => {
    child.on('message', (message: FromTrainer) => hear(message, events, { settle, reject }));
    child.once('error', reject);
    // Not `exit`, which can come before the last message has been read.
    child.once('close', (code, killedBy) => {
      const reason = abort?.aborted ? 'CANCELLED' : 'TRAINER_DIED';
      const what = killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`;
      reject(
        new EspalierError(
          reason,
          `the training process ${what}: run again with --resume to go on from the last checkpoint`,
        ),
      );
    });
  });
  child.send(job);
  if (abort?.aborted) onAbort();
  if (stop?.aborted) onStop();
  return finished.finally(() => {
    abort?.removeEventListener('abort', onAbort);
    stop?.removeEventListener('abort', onStop);
  });
}
