import { assert } from '../../base/index.ts';
import type { ModelConfig } from '../../model/index.ts';

/**
 * Room for keys and values of all sequences, in blocks of `blockSize` tokens (paged attention, Kwon et al., 2023). Block b holds rows
 * b·blockSize.. of every layer's cache. Who holds a block is kv-cache.ts' business.
 */
export class KvBlocks {
  readonly blockSize: number;
  readonly numBlocks: number;
  /** Per layer, [numBlocks, G, E, blockSize]; values [numBlocks, G, blockSize, E]: as `attentionPaged` reads them. */
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
  readonly #free: number[];
  readonly #isTaken: Uint8Array;

  constructor(config: ModelConfig, numTokens: number, blockSize = 16) {
    this.blockSize = blockSize;
    this.numBlocks = Math.ceil(numTokens / blockSize);
    const length = this.numBlocks * blockSize * config.numKeyValueHeads * config.headWidth;
    this.keys = Array.from({ length: config.numLayers }, () => new Float32Array(length));
    this.values = Array.from({ length: config.numLayers }, () => new Float32Array(length));
    this.#free = Array.from({ length: this.numBlocks }, (_, i) => this.numBlocks - 1 - i);
    this.#isTaken = new Uint8Array(this.numBlocks);
  }

  get numFree(): number {
    return this.#free.length;
  }

  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
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

/** Bytes of one token's keys and values over all layers. */
export function kvBytesPerToken(config: ModelConfig): number {
  return 2 * config.numLayers * config.numKeyValueHeads * config.headWidth * Float32Array.BYTES_PER_ELEMENT;
}
