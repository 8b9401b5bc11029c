/** A thread that proves one adapter and ends. Started by proof-thread.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, remoteError } from '../../base/index.ts';
import { openForProof, proveFolder } from './proof.ts';
import type { ProofAnswer, ProofTask } from './proof-thread.ts';

const port = parentPort;
assert(port, 'this file runs on a thread of its own');
port.postMessage(answerTo(workerData as ProofTask));

function answerTo(task: ProofTask): ProofAnswer {
  try {
    return { figures: proveFolder(openForProof(task, task), task.folder).figures };
  } catch (error) {
    return { error: remoteError(error) };
  }
}
