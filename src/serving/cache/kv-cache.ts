import { assert } from '../../base/index.ts';
import type { KvBlocks } from './kv-blocks.ts';
import { PrefixCache, type PrefixNode } from './prefix-cache.ts';
import type { Sequence } from '../sequence.ts';

/**
 * Which block holds what for whom. A block is free, or one sequence's own (it is being filled), or the prefix cache's (it is full, and read
 * by any number of sequences). A sequence takes blocks as its rows are planned.
 */
export class KvCache {
  readonly blocks: KvBlocks;
  readonly prefixes: PrefixCache;
  /** Full blocks that beginning sequences found, and that they had to compute. */
  numHits = 0;
  numMisses = 0;

  constructor(blocks: KvBlocks) {
    this.blocks = blocks;
    this.prefixes = new PrefixCache(blocks);
  }

  /** Blocks that can be taken: free, or cached and read by nobody. */
  get numAvailable(): number {
    return this.blocks.numFree + this.prefixes.numUnused;
  }

  /** Blocks that a beginning sequence would take from the available ones to hold `numTokens` positions. */
  numNeeded(sequence: Sequence, numTokens: number): number {
    const found = this.#find(sequence);
    const numInUse = found.filter(({ users }) => users > 0).length;
    return this.blocks.blocksFor(numTokens) - numInUse;
  }

  /** Blocks that a running sequence still has to take for the tokens that it has. */
  numOwed(sequence: Sequence): number {
    return Math.max(0, this.blocks.blocksFor(sequence.numTokens) - sequence.blocks.length);
  }

  /** Whether one of the running sequences is about to fill the next block that a waiting one would read from the cache. */
  isBeingComputed(waiting: Sequence, running: readonly Sequence[]): boolean {
    const index = this.#find(waiting).length;
    if (waiting.promptRows || index >= this.#mostShared(waiting)) return false;
    const end = (index + 1) * this.blocks.blockSize;
    return running.some((other) => {
      if (other.tenant !== waiting.tenant || adapterKey(other) !== adapterKey(waiting)) return false;
      if (other.isForgotten || other.numTokens < end || other.numComputed >= end) return false;
      for (let i = index; i >= 0; i--) if (this.#keyOf(other, i) !== this.#keyOf(waiting, i)) return false;
      return true;
    });
  }

  /** Starts a sequence on the cached blocks of its tokens. At least one row stays to be computed, so that there are logits. */
  begin(sequence: Sequence): void {
    assert(sequence.blocks.length === 0 && sequence.prefix === null, 'a sequence that begins holds nothing');
    const found = this.#find(sequence);
    this.numHits += found.length;
    this.numMisses += this.#mostShared(sequence) - found.length;
    const open = sequence.isForgotten ? 'openForgotten' : 'open';
    sequence.prefix = found.at(-1) ?? this.prefixes[open](sequence.tenant, adapterKey(sequence));
    this.prefixes.retain(sequence.prefix);
    sequence.blocks = found.map(({ block }) => block);
    sequence.numShared = found.length;
    sequence.numComputed = found.length * this.blocks.blockSize;
  }

  /**
   * Takes blocks until the sequence can hold `numTokens` positions; cached ones that nobody reads go for it.
   * @returns false when there were not enough; those that there were are taken
   */
  extend(sequence: Sequence, numTokens: number): boolean {
    const count = this.blocks.blocksFor(numTokens);
    while (sequence.blocks.length < count) {
      const block = this.blocks.take() ?? (this.prefixes.evict() ? this.blocks.take() : undefined);
      if (block === undefined) return false;
      sequence.blocks.push(block);
    }
    return true;
  }

  /** Hands the blocks that have become full to the prefix cache. Where the same is there already, the sequence's own block is freed. */
  settle(sequence: Sequence): void {
    const { blockSize } = this.blocks;
    while ((sequence.numShared + 1) * blockSize <= sequence.numComputed) {
      const index = sequence.numShared;
      const own = sequence.blocks[index];
      assert(sequence.prefix, 'a sequence that runs has a prefix');
      const node = this.prefixes.insert(sequence.prefix, this.#keyOf(sequence, index), own);
      if (node.block !== own) {
        this.blocks.give(own);
        sequence.blocks[index] = node.block;
      }
      sequence.prefix = node;
      sequence.numShared++;
    }
  }

  /** Gives back what a sequence holds; what is cached of it stays until the room is needed. */
  release(sequence: Sequence): void {
    for (const block of sequence.blocks.slice(sequence.numShared)) this.blocks.give(block);
    if (sequence.prefix) this.prefixes.release(sequence.prefix);
    sequence.prefix = null;
    sequence.blocks = [];
    sequence.numShared = 0;
    sequence.numComputed = 0;
  }

  /** The cached blocks of the sequence's tokens, from the first on. */
  #find(sequence: Sequence): PrefixNode[] {
    const found: PrefixNode[] = [];
    if (sequence.promptRows || sequence.isForgotten) return found;
    let node = this.prefixes.find(sequence.tenant, adapterKey(sequence));
    const most = this.#mostShared(sequence);
    while (node && found.length < most) {
      node = node.children.get(this.#keyOf(sequence, found.length));
      if (node) found.push(node);
    }
    return found;
  }

  #mostShared(sequence: Sequence): number {
    return Math.floor((sequence.numTokens - 1) / this.blocks.blockSize);
  }

  /** The contents of a full block. Virtual tokens have no id, and under one root they are always the same. */
  #keyOf(sequence: Sequence, index: number): string {
    const { blockSize } = this.blocks;
    const { blockKeys, tokenIds, numVirtual } = sequence;
    while (blockKeys.length <= index) {
      const begin = blockKeys.length * blockSize - numVirtual;
      const ids = tokenIds.slice(Math.max(0, begin), Math.max(0, begin + blockSize));
      blockKeys.push(ids.length < blockSize ? `virtual ${ids.join(' ')}` : ids.join(' '));
    }
    return blockKeys[index];
  }
}

function adapterKey({ request, adapter }: Sequence): string | object {
  return request.adapter ?? adapter;
}
