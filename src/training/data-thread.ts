import { Worker } from 'node:worker_threads';
import { EspalierError, rebuildError, type RemoteError } from '../base/index.ts';
import type { LoadedRunData, RunSources } from './run-data.ts';

/** What is to be read, and how. */
export interface DataRequest {
  /** Whose tokenizer and chat template render it. */
  readonly basePath: string;
  readonly sources: RunSources;
  /** Tokens of a sequence, at most. */
  readonly contextLength: number;
}

export type DataAnswer = { readonly data: LoadedRunData } | { readonly error: RemoteError };

/** `loadRunData` on a thread of its own, for those who have something else to do meanwhile. @throws what it throws */
export async function loadDataOnThread(request: DataRequest): Promise<LoadedRunData> {
  const worker = new Worker(new URL('./data-worker.ts', import.meta.url), { workerData: request, execArgv: [] });
  // Nobody waits for what was given up.
  worker.unref();
  try {
    const answer = await new Promise<DataAnswer>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) =>
        reject(new EspalierError('INTERNAL', `the thread that reads a run's data ended with code ${code}`)),
      );
    });
    if ('data' in answer) return answer.data;
    throw rebuildError(answer.error);
  } finally {
    await worker.terminate();
  }
}
