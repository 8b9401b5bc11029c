/**
 * Preloaded into a server under test (`node --import`): at SIGUSR2 the engine's thread of the process ends, as it does when it runs out of
 * memory. Nothing else of the server changes.
 */
import { syncBuiltinESMExports } from 'node:module';
import threads, { isMainThread, type Worker } from 'node:worker_threads';

const started: Worker[] = [];

class WatchedWorker extends threads.Worker {
  constructor(...args: ConstructorParameters<typeof threads.Worker>) {
    super(...args);
    if (String(args[0]).endsWith('/serving/worker.ts')) started.push(this);
  }
}

if (isMainThread) {
  threads.Worker = WatchedWorker;
  syncBuiltinESMExports();
  process.on('SIGUSR2', () => void started.pop()?.terminate());
}
