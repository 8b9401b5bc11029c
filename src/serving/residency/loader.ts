import { Worker } from 'node:worker_threads';
import type { CompiledAdapter, MixPart } from '../../adapters/index.ts';
import { asEspalierError, assert, EspalierError, rebuildError } from '../../base/index.ts';
import type { PeftFiles } from '../../formats/index.ts';
import type { OpenBaseOptions } from '../../model/index.ts';
import { buffersOf, freeBuffers, sharedBuffersOf } from './buffers.ts';
import { type AdapterSource, type FromLoader, type ToLoader } from '../messages.ts';

/** What loading gives: the adapter as steps use it, and the artefact's own bytes. Nobody else has their memory. */
export interface LoadedAdapter {
  readonly adapter: CompiledAdapter;
  readonly files: PeftFiles;
}

export interface AdapterLoader {
  /**
   * @param files the artefact if it is in memory: the loader takes it over, and gives it back with the result
   * @throws what reading, checking and compiling throw
   */
  load(source: AdapterSource, files: PeftFiles | undefined): Promise<LoadedAdapter>;
  /**
   * The adapters' weighted sum. They are read until it is there, and it has nothing of theirs.
   * @throws REQUEST_INVALID they cannot be mixed
   */
  mix(parts: readonly MixPart[]): Promise<CompiledAdapter>;
  /** Takes the memory of an adapter that nobody will use any more. */
  reclaim(adapter: CompiledAdapter): void;
}

/** As {@link AdapterLoader.load}; what goes wrong is the result. */
export async function tryLoad(
  loader: AdapterLoader,
  source: AdapterSource,
  files: PeftFiles | undefined,
): Promise<LoadedAdapter | EspalierError> {
  try {
    return await loader.load(source, files);
  } catch (error) {
    return asEspalierError(error);
  }
}

type Reply = Exclude<FromLoader, { readonly error: unknown }>;

/**
 * Loads and mixes on a thread of its own, so that no step waits for a disk or for a check. Memory goes to and fro by transfer, never by copy. A
 * thread that dies fails what it had, and the next load gets a new one.
 */
export class ThreadedLoader implements AdapterLoader, AsyncDisposable {
  readonly #spawn: () => Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<Reply>>();
  #worker: Worker | undefined;
  #nextToken = 0;

  /**
   * @param base has been opened on this machine before, so that it only has to be mapped
   * @param spawn makes the thread; a test passes its own, so as to have it at hand
   */
  constructor(base: OpenBaseOptions, spawn: (base: OpenBaseOptions) => Worker = spawnLoader) {
    this.#spawn = () => spawn(base);
    this.#worker = this.#start();
  }

  async load(source: AdapterSource, files: PeftFiles | undefined): Promise<LoadedAdapter> {
    const reply = await this.#ask((token) => ({ token, source, files }), buffersOf(files));
    assert('files' in reply, 'a load is answered with an adapter');
    return reply;
  }

  async mix(parts: readonly MixPart[]): Promise<CompiledAdapter> {
    const shared = parts.map(({ adapter: { sites, program, sizeBytes }, weight }) => ({
      adapter: { sites, sizeBytes, ...(program && { program }) },
      weight,
    }));
    const reply = await this.#ask((token) => ({ token, parts: shared }), []);
    assert('mix' in reply, 'parts are answered with their mix');
    return reply.mix;
  }

  #ask(order: (token: number) => ToLoader, moved: readonly ArrayBuffer[]): Promise<Reply> {
    this.#worker ??= this.#start();
    const token = this.#nextToken++;
    const asked = Promise.withResolvers<Reply>();
    this.#pending.set(token, asked);
    this.#worker.postMessage(order(token), moved);
    return asked.promise;
  }

  /** Shared memory goes back to the thread that fills it; the rest is freed. */
  reclaim(adapter: CompiledAdapter): void {
    const spare = sharedBuffersOf(adapter);
    freeBuffers(adapter);
    const message: ToLoader = { spare };
    if (spare.length > 0) this.#worker?.postMessage(message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = this.#spawn();
    let cause: unknown;
    worker.on('message', (message: FromLoader) => this.#receive(message));
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      this.#failAll(new EspalierError('INTERNAL', 'the thread that loads adapters stopped', { cause }));
    });
    return worker;
  }

  #receive(message: FromLoader): void {
    const asked = this.#pending.get(message.token);
    this.#pending.delete(message.token);
    if ('error' in message) asked?.reject(rebuildError(message.error));
    else asked?.resolve(message);
  }

  #failAll(error: EspalierError): void {
    for (const asked of this.#pending.values()) asked.reject(error);
    this.#pending.clear();
  }
}

export function spawnLoader(base: OpenBaseOptions): Worker {
  return new Worker(new URL('./loader-worker.ts', import.meta.url), { workerData: base });
}
