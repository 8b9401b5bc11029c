import { assert } from '../../base/index.ts';
import type { KvCache } from './kv-cache.ts';
import type { PrefixNode } from './prefix-cache.ts';
import type { Sequence } from '../sequence.ts';

/**
 * Holds the cache to its law: every block is free, or one sequence's own, or one cached prefix', and a prefix has as many users as
 * sequences that stand on it. Takes time in proportion to the cache. @throws INTERNAL says what is wrong
 */
export function auditCache(cache: KvCache, sequences: Iterable<Sequence>): void {
  const { blocks, prefixes } = cache;
  const holders = new Map<number, string>();
  const hold = (block: number, who: string): void => {
    assert(block >= 0 && block < blocks.numBlocks, `${who} holds a block that exists, not ${block}`);
    assert(!holders.has(block), `block ${block} is held by ${holders.get(block)}, and by ${who}`);
    holders.set(block, who);
  };
  const users = new Map<PrefixNode, number>();
  for (const sequence of sequences) {
    const { id } = sequence.request;
    for (const block of sequence.blocks.slice(sequence.numShared)) hold(block, `request ${id}`);
    let index = sequence.numShared;
    for (let node = sequence.prefix; node?.parent; node = node.parent) {
      index--;
      assert(sequence.blocks[index] === node.block, `block ${index} of request ${id} is that of its prefix`);
      users.set(node, (users.get(node) ?? 0) + 1);
    }
    assert(sequence.prefix === null || index === 0, `the prefix of request ${id} has all its shared blocks`);
  }
  let numUnused = 0;
  for (const node of prefixes.nodes()) {
    hold(node.block, 'the prefix cache');
    const expected = users.get(node) ?? 0;
    assert(node.users === expected, `block ${node.block} is read by ${expected} sequences, not ${node.users}`);
    if (expected === 0) numUnused++;
  }
  assert(prefixes.numUnused === numUnused, `${numUnused} cached blocks have no reader, not ${prefixes.numUnused}`);
  assert(holders.size + blocks.numFree === blocks.numBlocks, 'every block is held or free');
}
