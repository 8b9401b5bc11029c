/** A thread that scores one version on held-out examples, and ends. Started by {@link MeasuringThread}. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, remoteError } from '../../base/index.ts';
import { evaluateFile } from '../evaluate.ts';
import type { MeasureAnswer, MeasureRequest } from './measure-messages.ts';

const port = parentPort;
assert(port, 'this file runs on a thread of its own');

async function measured({ config, options }: MeasureRequest): Promise<MeasureAnswer> {
  try {
    const { value, examples } = await evaluateFile(config, options);
    return { score: { value, examples } };
  } catch (error) {
    return { error: remoteError(error) };
  }
}

port.postMessage(await measured(workerData as MeasureRequest));
