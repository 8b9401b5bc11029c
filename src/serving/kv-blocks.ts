import { assert } from '../base/index.ts';
import type { ModelConfig } from '../model/index.ts';

/** Keys and values of all sequences, in blocks of `blockSize` tokens. Block b holds rows b·blockSize.. of every layer's cache. */
export class KvBlocks {
  readonly blockSize: number;
  readonly numBlocks: number;
  /** Per layer, [numBlocks · blockSize, G · E]. */
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
  readonly #free: number[];

  constructor(config: ModelConfig, numTokens: number, blockSize = 16) {
    this.blockSize = blockSize;
    this.numBlocks = Math.ceil(numTokens / blockSize);
    const length = this.numBlocks * blockSize * config.numKeyValueHeads * config.headWidth;
    this.keys = Array.from({ length: config.numLayers }, () => new Float32Array(length));
    this.values = Array.from({ length: config.numLayers }, () => new Float32Array(length));
    this.#free = Array.from({ length: this.numBlocks }, (_, i) => this.numBlocks - 1 - i);
  }

  get numFree(): number {
    return this.#free.length;
  }

  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
  }

  /** @returns undefined when there are not enough free blocks; nothing is taken then */
  allocate(numTokens: number): Int32Array | undefined {
    const count = this.blocksFor(numTokens);
    if (count > this.#free.length) return undefined;
    return Int32Array.from(this.#free.splice(this.#free.length - count, count));
  }

  free(blocks: Int32Array): void {
    this.#free.push(...blocks);
    assert(this.#free.length <= this.numBlocks, 'a block is freed once');
  }
}

/** Bytes of one token's keys and values over all layers. */
export function kvBytesPerToken(config: ModelConfig): number {
  return 2 * config.numLayers * config.numKeyValueHeads * config.headWidth * Float32Array.BYTES_PER_ELEMENT;
}
