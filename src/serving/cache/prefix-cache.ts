import { assert } from '../../base/index.ts';
import type { KvBlocks } from './kv-blocks.ts';

/** A full block of keys and values, and the way to it: the blocks before it are its ancestors, so a node stands for exactly one prefix. */
export interface PrefixNode {
  /** Null for a root, which holds no block. */
  readonly parent: PrefixNode | null;
  /** What the block was computed from: its tokens, in full. */
  readonly key: string;
  readonly block: number;
  readonly children: Map<string, PrefixNode>;
  /** Sequences that read the block. Whoever reads a node reads its ancestors, so this never grows downwards. */
  users: number;
}

/** What tells one adapter from all others: its digest, or the compiled adapter itself where it has none. */
export type AdapterKey = string | object;

interface Root extends PrefixNode {
  readonly tenant: string | null;
  readonly adapter: AdapterKey;
  /** Nobody finds it any more: what its readers leave is free at once. */
  isForgotten: boolean;
}

/**
 * Computed blocks that may be used again: a tree for each tenant and adapter, one edge a block. The key of an edge is the tokens of its
 * block and not a hash of them, so nothing can collide. Tenants have trees of their own even for the same adapter or the base: how
 * fast an answer begins would otherwise tell one tenant what another has asked.
 */
export class PrefixCache {
  readonly #blocks: KvBlocks;
  readonly #roots = new Map<string | null, Map<AdapterKey, Root>>();
  /** Nodes that nobody reads, the least recently used first. A node comes before its parent, so the first is always a leaf. */
  readonly #unused = new Set<PrefixNode>();
  /** Roots that are forgotten and still read. */
  readonly #leaving = new Set<Root>();
  /** Blocks that were given up for others. */
  numEvictions = 0;

  constructor(blocks: KvBlocks) {
    this.#blocks = blocks;
  }

  /** Blocks that could be given up. */
  get numUnused(): number {
    return this.#unused.size;
  }

  get numRoots(): number {
    let sum = 0;
    for (const adapters of this.#roots.values()) sum += adapters.size;
    return sum;
  }

  /** All nodes that hold a block. */
  *nodes(): Iterable<PrefixNode> {
    const open: PrefixNode[] = [];
    for (const adapters of this.#roots.values()) open.push(...adapters.values());
    open.push(...this.#leaving);
    for (let node = open.pop(); node; node = open.pop()) {
      if (node.parent) yield node;
      open.push(...node.children.values());
    }
  }

  /** The root of a tenant's prefixes on an adapter; undefined when there are none. */
  find(tenant: string | null, adapter: AdapterKey): PrefixNode | undefined {
    return this.#roots.get(tenant)?.get(adapter);
  }

  /** As {@link find}, but makes it. Who asks retains it. */
  open(tenant: string | null, adapter: AdapterKey): PrefixNode {
    let adapters = this.#roots.get(tenant);
    if (!adapters) this.#roots.set(tenant, (adapters = new Map()));
    let root = adapters.get(adapter);
    if (!root) {
      root = newRoot(tenant, adapter, false);
      adapters.set(adapter, root);
    }
    return root;
  }

  /** A root that nobody else finds, and that leaves nothing. Who asks retains it. */
  openForgotten(tenant: string | null, adapter: AdapterKey): PrefixNode {
    const root = newRoot(tenant, adapter, true);
    this.#leaving.add(root);
    return root;
  }

  /** One more reader of `node` and of all its ancestors. */
  retain(node: PrefixNode): void {
    for (let at: PrefixNode | null = node; at; at = at.parent) this.#addUser(at);
  }

  /** One reader less of `node` and of all its ancestors. */
  release(node: PrefixNode): void {
    const { isForgotten } = rootOf(node);
    for (let at: PrefixNode | null = node; at; at = at.parent) {
      assert(at.users > 0, 'a prefix is released by who retained it');
      at.users--;
      if (at.users > 0) continue;
      if (!at.parent) this.#closeIfEmpty(at);
      else if (isForgotten) this.#giveUp(at);
      else this.#unused.add(at);
    }
  }

  /**
   * Makes `block` the child of `parent`, which the caller retains. When another sequence was first, its block is the one to use, and the
   * caller keeps its own.
   * @returns the child, retained once more
   */
  insert(parent: PrefixNode, key: string, block: number): PrefixNode {
    let child = parent.children.get(key);
    if (!child) {
      child = { parent, key, block, children: new Map(), users: 0 };
      parent.children.set(key, child);
    }
    this.#addUser(child);
    return child;
  }

  /** Gives up the block that was not used for the longest time. @returns whether there was one */
  evict(): boolean {
    const node = this.#unused.values().next().value;
    if (!node) return false;
    assert(node.children.size === 0 && node.parent, 'a leaf goes first');
    this.#giveUp(node);
    this.numEvictions++;
    if (!node.parent.parent) this.#closeIfEmpty(node.parent);
    return true;
  }

  /** Gives up all blocks of a tenant, those that somebody reads when the last of these has ended. @returns how many went at once */
  forget(tenant: string | null): number {
    let numForgotten = 0;
    for (const root of this.#roots.get(tenant)?.values() ?? []) {
      numForgotten += this.#prune(root);
      root.isForgotten = true;
      if (root.users > 0) this.#leaving.add(root);
    }
    this.#roots.delete(tenant);
    return numForgotten;
  }

  #giveUp(node: PrefixNode): void {
    this.#unused.delete(node);
    node.parent?.children.delete(node.key);
    this.#blocks.give(node.block);
  }

  /** Leaves first: a block that somebody reads keeps its ancestors. */
  #prune(node: PrefixNode): number {
    let numPruned = 0;
    for (const child of node.children.values()) {
      numPruned += this.#prune(child);
      if (child.users > 0 || child.children.size > 0) continue;
      this.#giveUp(child);
      numPruned++;
    }
    return numPruned;
  }

  #addUser(node: PrefixNode): void {
    if (node.users === 0) this.#unused.delete(node);
    node.users++;
  }

  #closeIfEmpty(node: PrefixNode): void {
    if (node.users > 0 || node.children.size > 0) return;
    const { tenant, adapter, isForgotten } = node as Root;
    if (isForgotten) {
      this.#leaving.delete(node as Root);
      return;
    }
    const adapters = this.#roots.get(tenant);
    adapters?.delete(adapter);
    if (adapters?.size === 0) this.#roots.delete(tenant);
  }
}

function newRoot(tenant: string | null, adapter: AdapterKey, isForgotten: boolean): Root {
  return { parent: null, key: '', block: -1, children: new Map(), users: 0, tenant, adapter, isForgotten };
}

function rootOf(node: PrefixNode): Root {
  let at = node;
  while (at.parent) at = at.parent;
  return at as Root;
}
