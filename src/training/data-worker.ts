/** A thread that reads, checks and tokenises a run's data. Started by {@link loadDataOnThread}. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, remoteError } from '../base/index.ts';
import { openChatRenderer } from '../text/index.ts';
import type { DataAnswer, DataRequest } from './data-thread.ts';
import { loadRunData } from './run-data.ts';

assert(parentPort, 'this file runs on a thread of its own');
parentPort.postMessage(answerTo(workerData as DataRequest));

function answerTo({ basePath, sources, contextLength }: DataRequest): DataAnswer {
  try {
    return { data: loadRunData(sources, openChatRenderer(basePath), contextLength) };
  } catch (error) {
    return { error: remoteError(error) };
  }
}
