/** The loader's thread: reads, checks, compiles and proves one adapter after the other. Started by loader.ts on the engine's thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { compileAdapter, packAdapter, proveAdapter, readArtefact } from '../adapters/index.ts';
import { assert } from '../base/index.ts';
import { readPeftFiles } from '../formats/index.ts';
import { openBase, type OpenBaseOptions } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { buffersOf } from './buffers.ts';
import type { LoadedAdapter } from './loader.ts';
import { remoteError, type AdapterSource, type FromLoader, type ToLoader } from './messages.ts';

assert(parentPort, 'loader-worker.ts runs as a worker thread');
const port = parentPort;
// Steps have the other kernel threads: what is computed here must not take them away.
const base = openBase(workerData as OpenBaseOptions, loadNativeKernels({ isAlone: true }));

/**
 * Reads, checks, compiles, proves that the adapter does something (one that would answer like the base is refused), and packs it as the
 * kernels read it.
 */
function load({ directory }: AdapterSource, known: ToLoader['files']): LoadedAdapter {
  const files = known ?? readPeftFiles(directory);
  const adapter = compileAdapter(readArtefact(directory, base, files), base);
  proveAdapter(base, adapter);
  return { adapter: packAdapter(adapter, base.sites), files };
}

port.on('message', ({ token, source, files }: ToLoader) => {
  let message: FromLoader;
  try {
    message = { token, ...load(source, files) };
  } catch (error) {
    message = { token, error: remoteError(error) };
  }
  port.postMessage(message, buffersOf(message));
});
