import { Worker } from 'node:worker_threads';
import { EspalierError, rebuildError } from '../base/index.ts';
import type { FromWorker, WorkerInit } from './messages.ts';

/** What a started engine says of itself. */
export interface Ready {
  readonly baseDigest: string;
  readonly instructionSet: string;
}

export type Spawn = (init: WorkerInit) => Worker;

export function spawnEngine(init: WorkerInit): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url), { workerData: init });
}

/** Starts the engine's thread and waits until its base is mapped. @throws what opening the base throws */
export async function startWorker(
  init: WorkerInit,
  spawn: Spawn = spawnEngine,
): Promise<{ readonly worker: Worker; readonly ready: Ready }> {
  const worker = spawn(init);
  const first = await new Promise<FromWorker>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) =>
      reject(new EspalierError('INTERNAL', `the engine ended with code ${code} before it started`)),
    );
  });
  if (first.type === 'ready') return { worker, ready: first };
  await worker.terminate();
  throw first.type === 'start-failed'
    ? rebuildError(first.error)
    : new EspalierError('INTERNAL', 'the engine did not start');
}
