/** The loader's thread: reads, checks, compiles and proves one adapter after the other, and makes mixes of them. Started by loader.ts on the engine's thread. */
import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import {
  compileAdapter,
  composeAdapters,
  isMixable,
  packAdapter,
  proveAdapter,
  readArtefact,
  type CompiledAdapter,
} from '../../adapters/index.ts';
import { assert, remoteError } from '../../base/index.ts';
import { readPeftFiles } from '../../formats/index.ts';
import { openBase, type OpenBaseOptions } from '../../model/index.ts';
import { loadNativeKernels } from '../../numeric/index.ts';
import { buffersOf } from './buffers.ts';
import type { LoadedAdapter } from './loader.ts';
import type { FromLoader, LoadOrder, MixOrder, ToLoader } from '../messages.ts';
import { inOwnMemory } from './own-memory.ts';
import { SharedMemory } from './shared-memory.ts';

assert(parentPort, 'loader-worker.ts runs as a worker thread');
const port = parentPort;
/**
 * How far steps go before loads on a busy machine: with less, a load holds up the steps beside it; with more, a cold adapter waits too long
 * (docs/decisions/0007-adapter-residency.md).
 */
const NICENESS = 8;
// On Linux a thread has a priority of its own; elsewhere it would be the whole server's.
if (process.platform === 'linux') setPriority(Math.min(19, getPriority() + NICENESS));
// Steps have the other kernel threads: what is computed here must not take them away.
const base = openBase(workerData as OpenBaseOptions, loadNativeKernels({ isAlone: true }));

const memory = new SharedMemory();

/**
 * Reads, checks, compiles, proves that the adapter does something (one that would answer like the base is refused), and packs it as the
 * kernels read it.
 */
function load({ source: { directory }, files: known }: LoadOrder): LoadedAdapter {
  const files = known ?? readPeftFiles(directory);
  const artefact = readArtefact(directory, base, files);
  const compiled = compileAdapter(artefact, base);
  proveAdapter(base, compiled);
  const packed = packAdapter(compiled, base, memory.take);
  // It comes here again when it is mixed with others: without a copy, if it is shared.
  const adapter = isMixable(packed) ? inSharedMemory(packed) : packed;
  // What was packed is needed no more, and the next load would come long before the garbage collector.
  const kept = new Set(buffersOf(adapter));
  for (const buffer of buffersOf([compiled, artefact.tensors])) if (!kept.has(buffer)) buffer.transfer(0);
  return { adapter, files };
}

function mix({ parts }: MixOrder): CompiledAdapter {
  return inSharedMemory(composeAdapters(parts, memory.take));
}

/** The adapter, with nothing that is another's. */
function inSharedMemory(adapter: CompiledAdapter): CompiledAdapter {
  return { ...adapter, sites: inOwnMemory(adapter.sites, memory.take) };
}

port.on('message', (message: ToLoader) => {
  if ('spare' in message) {
    for (const buffer of message.spare) memory.give(buffer);
    return;
  }
  const { token } = message;
  let reply: FromLoader;
  try {
    reply = 'parts' in message ? { token, mix: mix(message) } : { token, ...load(message) };
  } catch (error) {
    reply = { token, error: remoteError(error) };
  }
  port.postMessage(reply, buffersOf(reply));
});
