/** The engine's thread: owns the base, the adapters in memory and every sequence. Started by client.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, EspalierError, errorMessage, type Lease } from '../base/index.ts';
import {
  BASE_ADAPTER,
  compileAdapter,
  composeAdapters,
  readArtefact,
  type CompiledAdapter,
} from '../adapters/index.ts';
import { openBase } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { Engine } from './engine.ts';
import type { AdapterMix, AdapterSource, FromWorker, RemoteError, ToWorker, WorkerInit } from './messages.ts';
import { AdapterSlots } from './slots.ts';

assert(parentPort, 'worker.ts runs as a worker thread');
const port = parentPort;
const init = workerData as WorkerInit;
const send = (message: FromWorker): void => port.postMessage(message);

function remoteError(error: unknown): RemoteError {
  const { code, message, param, retryAfterMs } =
    error instanceof EspalierError ? error : new EspalierError('INTERNAL', errorMessage(error));
  return { code, message, param, retryAfterMs };
}

function main(): void {
  const kernels = loadNativeKernels(init.threads === undefined ? {} : { threads: init.threads });
  const base = openBase(init.base, kernels);
  const engine = new Engine(base, init.engine);
  const load = (directory: string): CompiledAdapter => compileAdapter(readArtefact(directory, base), base);
  const slots = new AdapterSlots(load, init.adapterBytes);
  const leases = new Map<string, Lease<CompiledAdapter>[]>();
  let isStepping = false;
  let [steps, generatedTokens, promptTokens] = [0, 0, 0];

  const release = (id: string): void => {
    for (const lease of leases.get(id) ?? []) lease[Symbol.dispose]();
    leases.delete(id);
  };

  /** Everything that a request needs is leased until it ends. */
  const acquire = (id: string, adapter: AdapterSource | AdapterMix | null): CompiledAdapter => {
    if (!adapter) return BASE_ADAPTER;
    const held: Lease<CompiledAdapter>[] = [];
    leases.set(id, held);
    const lease = ({ digest, directory }: AdapterSource): CompiledAdapter => {
      held.push(slots.acquire(digest, directory));
      return held[held.length - 1].value;
    };
    if (!('parts' in adapter)) return lease(adapter);
    return composeAdapters(adapter.parts.map(({ source, weight }) => ({ adapter: lease(source), weight })));
  };

  const step = (): void => {
    const { events, failures } = engine.step();
    steps++;
    for (const event of events) {
      generatedTokens += event.tokenIds.length;
      if (event.finishReason) release(event.id);
    }
    for (const { id, error } of failures) {
      release(id);
      send({ type: 'failed', id, error: remoteError(error) });
    }
    if (events.length > 0) send({ type: 'tokens', events });
    // Messages that have come in meanwhile are handled before the next step.
    isStepping = engine.hasWork;
    if (isStepping) setImmediate(step);
  };

  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'submit':
        try {
          const { request, adapter } = message;
          engine.submit(request, acquire(request.id, adapter));
          promptTokens += request.promptTokenIds.length;
          if (!isStepping) setImmediate(step);
          isStepping = true;
        } catch (error) {
          release(message.request.id);
          send({ type: 'failed', id: message.request.id, error: remoteError(error) });
        }
        return;
      case 'cancel':
        engine.cancel(message.id);
        release(message.id);
        return;
      case 'stats': {
        const { counts } = engine;
        send({
          type: 'stats',
          token: message.token,
          stats: {
            numRunning: counts.numRunning,
            numWaiting: counts.numWaiting,
            cacheBlocks: counts.numBlocks,
            cacheBlocksFree: counts.numFreeBlocks,
            cacheBlocksCached: counts.numCachedBlocks,
            prefixHits: counts.prefixHits,
            prefixMisses: counts.prefixMisses,
            prefixEvictions: counts.prefixEvictions,
            preemptions: counts.preemptions,
            residentAdapters: slots.count,
            residentAdapterBytes: slots.sizeBytes,
            steps,
            generatedTokens,
            promptTokens,
          },
        });
        return;
      }
      case 'close':
        port.close();
        return;
      default:
        message satisfies never;
    }
  });
  send({ type: 'ready', baseDigest: base.digest, instructionSet: kernels.name });
}

try {
  main();
} catch (error) {
  send({ type: 'start-failed', error: remoteError(error) });
}
