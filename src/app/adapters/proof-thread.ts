import { Worker } from 'node:worker_threads';
import { EspalierError, rebuildError, type RemoteError } from '../../base/index.ts';
import type { OpenBaseOptions } from '../../model/index.ts';
import type { ProofFigures } from './proof.ts';

/** What the thread is given. */
export interface ProofTask {
  readonly open: OpenBaseOptions;
  readonly threads: number | undefined;
  readonly folder: string;
}

export type ProofAnswer = { readonly figures: ProofFigures } | { readonly error: RemoteError };

/**
 * The proof of a folder on a thread of its own, which goes with it: a server that publishes answers others meanwhile.
 * @throws ADAPTER_INVALID with what differs
 */
export function proveOnThread(task: ProofTask): Promise<ProofFigures> {
  const worker = new Worker(new URL('./proof-worker.ts', import.meta.url), { execArgv: [], workerData: task });
  return new Promise((resolve, reject) => {
    worker.once('message', (answer: ProofAnswer) =>
      'figures' in answer ? resolve(answer.figures) : reject(rebuildError(answer.error)),
    );
    worker.once('error', (cause) => reject(new EspalierError('INTERNAL', 'the proof broke off', { cause })));
    // After an answer it says nothing new.
    worker.once('exit', (code) => reject(new EspalierError('INTERNAL', `the proof's thread ended with code ${code}`)));
  });
}
