import { assert } from '../../base/index.ts';
import type { ModelConfig } from '../../model/index.ts';
import { largeMemory, type ComputeDtype } from '../../numeric/index.ts';

/** Of float32, or of bfloat16 by their bits. */
type CacheArray = Float32Array | Uint16Array;

/** The arrays of many layers lie in one buffer, so that large pages span them: as many as this holds, at least one. */
const MAX_BUFFER_BYTES = 2 ** 30;
const BLOCK_SIZE = 16;

/** Blocks for so many tokens. */
export function blocksFor(numTokens: number, blockSize = BLOCK_SIZE): number {
  return Math.ceil(numTokens / blockSize);
}

/** Tokens that a sequence can have, prompt, answer and virtual ones: as many as the base's context and the whole cache hold. */
export function longestSequence(contextLength: number, cacheTokens: number, blockSize = BLOCK_SIZE): number {
  return Math.min(contextLength, blocksFor(cacheTokens, blockSize) * blockSize);
}

/**
 * Room for keys and values of all sequences, in blocks of `blockSize` tokens (paged attention, Kwon et al., 2023). Block b holds rows
 * b·blockSize.. of every layer's cache. Who holds a block is kv-cache.ts' business.
 */
export class KvBlocks {
  readonly blockSize: number;
  readonly numBlocks: number;
  /** Per layer, [numBlocks, G, E, blockSize]; values [numBlocks, G, blockSize, E]: as `attentionPaged` reads them. */
  readonly keys: readonly CacheArray[];
  readonly values: readonly CacheArray[];
  readonly #free: number[];
  readonly #isTaken: Uint8Array;

  /** @param dtype of the base's products; unless they are in f32, keys and values are rounded to bfloat16: half the memory, and half of what a step reads of it */
  constructor(config: ModelConfig, numTokens: number, blockSize = BLOCK_SIZE, dtype: ComputeDtype = 'f32') {
    this.blockSize = blockSize;
    this.numBlocks = blocksFor(numTokens, blockSize);
    const length = this.numBlocks * blockSize * config.numKeyValueHeads * config.headWidth;
    const arrays = allocate(2 * config.numLayers, length, dtype === 'f32' ? Float32Array : Uint16Array);
    this.keys = arrays.slice(0, config.numLayers);
    this.values = arrays.slice(config.numLayers);
    this.#free = Array.from({ length: this.numBlocks }, (_, i) => this.numBlocks - 1 - i);
    this.#isTaken = new Uint8Array(this.numBlocks);
  }

  get numFree(): number {
    return this.#free.length;
  }

  blocksFor(numTokens: number): number {
    return blocksFor(numTokens, this.blockSize);
  }

  /** @returns undefined when no block is free */
  take(): number | undefined {
    const block = this.#free.pop();
    if (block !== undefined) this.#isTaken[block] = 1;
    return block;
  }

  give(block: number): void {
    assert(this.#isTaken[block] === 1, `block ${block} is held when it is given back`);
    this.#isTaken[block] = 0;
    this.#free.push(block);
  }
}

type CacheArrayType = typeof Float32Array | typeof Uint16Array;

function allocate(count: number, length: number, ArrayOf: CacheArrayType): CacheArray[] {
  const sizeBytes = length * ArrayOf.BYTES_PER_ELEMENT;
  const perBuffer = Math.max(1, Math.floor(MAX_BUFFER_BYTES / Math.max(1, sizeBytes)));
  const arrays: CacheArray[] = [];
  while (arrays.length < count) {
    const here = Math.min(perBuffer, count - arrays.length);
    const buffer = largeMemory(here * sizeBytes);
    for (let i = 0; i < here; i++) arrays.push(new ArrayOf(buffer, i * sizeBytes, length));
  }
  return arrays;
}
