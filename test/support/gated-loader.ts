import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { composeAdapters, type CompiledAdapter, type MixPart } from '../../src/adapters/index.ts';
import type { Clock } from '../../src/base/index.ts';
import type { PeftFiles } from '../../src/formats/index.ts';
import { freeBuffers } from '../../src/serving/residency/buffers.ts';
import type { AdapterLoader, LoadedAdapter } from '../../src/serving/residency/loader.ts';
import type { AdapterSource } from '../../src/serving/messages.ts';

/** A clock that stands still unless it is told to go on. */
export class TestClock implements Clock {
  #nowMs = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

/** An adapter that holds so many bytes and is applied nowhere. */
export function adapterOf(sizeBytes: number): CompiledAdapter {
  const bias_O = { shape: [sizeBytes / 4], data: new Float32Array(sizeBytes / 4) };
  return { sites: new Map([['nowhere', [{ kind: 'bias', bias_O }]]]), sizeBytes };
}

/** Loads begin when they are asked for and end when the test says so; so do mixes, with {@link GatedLoader.holdMixes}. */
export class GatedLoader implements AdapterLoader {
  readonly #sizesOf: (digest: string) => { readonly sizeBytes: number; readonly fileBytes: number };
  readonly #running = new Map<string, { gate: PromiseWithResolvers<LoadedAdapter>; files: PeftFiles | undefined }>();
  readonly #mixes: PromiseWithResolvers<void>[] = [];
  #holdsMixes = false;
  /** `DIGEST disk` or `DIGEST host`, in the order of their beginning. */
  readonly log: string[] = [];
  numReclaimed = 0;

  constructor(sizesOf: (digest: string) => { readonly sizeBytes: number; readonly fileBytes: number }) {
    this.#sizesOf = sizesOf;
  }

  /** Digests, in the order of their beginning. */
  get running(): string[] {
    return [...this.#running.keys()];
  }

  load({ digest }: AdapterSource, files: PeftFiles | undefined): Promise<LoadedAdapter> {
    assert.ok(!this.#running.has(digest), `${digest} is loaded once at a time`);
    const gate = Promise.withResolvers<LoadedAdapter>();
    this.#running.set(digest, { gate, files });
    this.log.push(`${digest} ${files ? 'host' : 'disk'}`);
    return gate.promise;
  }

  async mix(parts: readonly MixPart[]): Promise<CompiledAdapter> {
    if (this.#holdsMixes) {
      const gate = Promise.withResolvers<void>();
      this.#mixes.push(gate);
      await gate.promise;
    }
    const mix = composeAdapters(parts);
    return { ...mix, sites: structuredClone(mix.sites) };
  }

  reclaim(adapter: CompiledAdapter): void {
    this.numReclaimed++;
    freeBuffers(adapter);
  }

  /** From now on mixes end when the test says so. */
  holdMixes(): void {
    this.#holdsMixes = true;
  }

  get numMixing(): number {
    return this.#mixes.length;
  }

  /** Ends the mix that began first. */
  async finishMix(error?: Error): Promise<void> {
    const gate = this.#mixes.shift() ?? assert.fail('nothing is being mixed');
    if (error) gate.reject(error);
    else gate.resolve();
    await turn();
  }

  async finish(digest: string): Promise<void> {
    const { gate, files } = this.#take(digest);
    const { sizeBytes, fileBytes } = this.#sizesOf(digest);
    const read = files ?? { config: new Uint8Array(fileBytes / 2), weights: new Uint8Array(fileBytes / 2) };
    gate.resolve({ adapter: adapterOf(Math.floor(sizeBytes / 4) * 4), files: read });
    await turn();
  }

  async fail(digest: string, error: Error): Promise<void> {
    this.#take(digest).gate.reject(error);
    await turn();
  }

  #take(digest: string) {
    const load = this.#running.get(digest) ?? assert.fail(`${digest} is not being loaded`);
    this.#running.delete(digest);
    return load;
  }
}
