/** The engine's thread: owns the base, the adapters in memory and every sequence. Started by client.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, remoteError, systemClock } from '../base/index.ts';
import { openBase } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { EngineLoop } from './engine-loop.ts';
import { Engine } from './engine.ts';
import { ThreadedLoader } from './residency/loader.ts';
import { type FromWorker, type ToWorker, type WorkerInit } from './messages.ts';
import { AdapterResidency } from './residency/residency.ts';
import { WorkerGrammars } from './worker-grammars.ts';

assert(parentPort, 'worker.ts runs as a worker thread');
const port = parentPort;
const init = workerData as WorkerInit;
const send = (message: FromWorker): void => port.postMessage(message);

function main(): void {
  const kernels = loadNativeKernels(init.threads === undefined ? {} : { threads: init.threads });
  const base = openBase(init.base, kernels);
  // Its packed file is there now, so the loader only has to map it.
  const loader = new ThreadedLoader({ ...init.base, digest: base.digest });
  const { maxWaiting, maxWaitingPerTenant, maxWaitMs } = init.engine;
  const residency = new AdapterResidency(loader, systemClock, { ...init.residency, maxWaitMs }, (observation) =>
    send({ type: 'load', observation }),
  );
  const loop = new EngineLoop(new Engine(base, init.engine), residency, {
    send,
    schedule: setImmediate,
    limits: { maxWaiting, maxWaitingPerTenant },
    grammars: new WorkerGrammars(init.vocabulary),
  });
  port.on('message', (message: ToWorker) => {
    if (message.type === 'close') port.close();
    else loop.receive(message);
  });
  send({ type: 'ready', baseDigest: base.digest, instructionSet: kernels.name });
}

try {
  main();
} catch (error) {
  send({ type: 'start-failed', error: remoteError(error) });
}
