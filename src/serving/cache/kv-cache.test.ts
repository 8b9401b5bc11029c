/** Blocks and prefixes: who may share what, what goes first, and that nothing is ever lost or held twice. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { makeSequence, nothingConfig } from '../../../test/support/sequences.ts';
import { BASE_ADAPTER } from '../../adapters/index.ts';
import { Rng } from '../../base/index.ts';
import { auditCache } from './audit.ts';
import { KvBlocks } from './kv-blocks.ts';
import { KvCache } from './kv-cache.ts';
import type { GenerateRequest } from '../request.ts';
import type { Sequence } from '../sequence.ts';

const BLOCK = 4;
let cache: KvCache;
beforeEach(() => (cache = new KvCache(new KvBlocks(nothingConfig, 40, BLOCK))));

function sequence(tokens: readonly number[], more: Partial<GenerateRequest> = {}): Sequence {
  return makeSequence('any', { promptTokenIds: Int32Array.from(tokens), ...more });
}

/** Computes all tokens of a sequence. @returns how many of them were cached */
function compute(made: Sequence): number {
  cache.begin(made);
  const numCached = made.numComputed;
  assert.ok(cache.extend(made, made.numTokens));
  made.numComputed = made.numTokens;
  cache.settle(made);
  return numCached;
}

function computeAndRelease(made: Sequence): number {
  const numCached = compute(made);
  cache.release(made);
  return numCached;
}

const TEN = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

test('a prefix is found block by block, and at least one token is left to compute', () => {
  assert.equal(computeAndRelease(sequence(TEN)), 0);
  assert.equal(computeAndRelease(sequence(TEN)), 8);
  assert.equal(computeAndRelease(sequence(TEN.slice(0, 8))), 4, 'its last block holds the row that gives logits');
  assert.equal(computeAndRelease(sequence([...TEN.slice(0, 7), 99, 100])), 4, 'the second block differs');
  assert.equal(computeAndRelease(sequence([0, ...TEN])), 0, 'the same tokens elsewhere are another prefix');
  assert.deepEqual([cache.numHits, cache.numMisses], [2 + 1 + 1, 2 + 0 + 0 + 1 + 2]);
});

test('tokens are compared, not glued together', () => {
  computeAndRelease(sequence([1, 23, 4, 5, 6]));
  assert.equal(computeAndRelease(sequence([12, 3, 4, 5, 6])), 0);
});

test('no two adapters and no two tenants share', () => {
  const other = { ...BASE_ADAPTER };
  const kinds: readonly Partial<GenerateRequest>[] = [
    {},
    { adapter: 'sha256:a' },
    { adapter: 'sha256:b' },
    { tenant: 'acme' },
    { tenant: 'acme', adapter: 'sha256:a' },
    { tenant: 'globex', adapter: 'sha256:a' },
  ];
  for (const kind of kinds) assert.equal(computeAndRelease(sequence(TEN, kind)), 0, JSON.stringify(kind));
  // An adapter without a digest is only itself.
  assert.equal(computeAndRelease(makeSequence('any', { promptTokenIds: Int32Array.from(TEN), compiled: other })), 0);
  auditCache(cache, []);
});

test('an adapter that was computed before is found again, by its digest', () => {
  computeAndRelease(sequence(TEN, { tenant: 'acme', adapter: 'sha256:a' }));
  const again = makeSequence('any', {
    promptTokenIds: Int32Array.from(TEN),
    tenant: 'acme',
    adapter: 'sha256:a',
    compiled: { ...BASE_ADAPTER },
  });
  assert.equal(computeAndRelease(again), 8);
});

test('two that compute the same at once end up with one copy', () => {
  const [a, b] = [sequence(TEN), sequence(TEN)];
  compute(a);
  // It began before the other had anything to share.
  cache.prefixes.retain(cache.prefixes.open(null, BASE_ADAPTER));
  b.prefix = cache.prefixes.open(null, BASE_ADAPTER);
  assert.ok(cache.extend(b, 10));
  assert.equal(cache.blocks.numFree, 10 - 6);
  b.numComputed = 10;
  cache.settle(b);
  assert.equal(cache.blocks.numFree, 10 - 4);
  assert.deepEqual(b.blocks.slice(0, 2), a.blocks.slice(0, 2));
  auditCache(cache, [a, b]);
});

test('the least recently used goes first, leaves before what they stand on, and never what somebody reads', () => {
  const tokens = (first: number): number[] => Array.from({ length: 9 }, (_, i) => first + i);
  for (const first of [100, 200, 300, 400, 500]) computeAndRelease(sequence(tokens(first)));
  // Ten blocks: all cached. The second is read, the first was used again.
  const reader = sequence(tokens(200));
  cache.begin(reader);
  assert.equal(computeAndRelease(sequence(tokens(100).slice(0, 8))), 4);
  const wide = sequence(Array.from({ length: 21 }, (_, i) => 900 + i));
  cache.begin(wide);
  assert.ok(cache.extend(wide, 21));
  auditCache(cache, [reader, wide]);
  cache.release(wide);
  assert.equal(computeAndRelease(sequence(tokens(100))), 8, 'what was used again is left');
  assert.equal(reader.numComputed, 8);
  for (const first of [300, 400]) {
    const late = sequence(tokens(first));
    cache.begin(late);
    assert.equal(late.numComputed, 0, `${first} is gone`);
    cache.release(late);
  }
});

test('a full cache says so, and what there was is taken', () => {
  const wide = sequence(Array.from({ length: 39 }, (_, i) => i));
  compute(wide);
  const late = sequence([50, 51]);
  cache.begin(late);
  assert.equal(cache.extend(late, 2), false);
  assert.equal(cache.numAvailable, 0);
  cache.release(late);
  cache.release(wide);
  assert.equal(cache.numAvailable, 10);
});

test('a request for every row finds nothing, and leaves its blocks to others', () => {
  computeAndRelease(sequence(TEN));
  assert.equal(computeAndRelease(sequence(TEN, { embedding: 'mean' })), 0);
  computeAndRelease(sequence([5, ...TEN], { embedding: 'mean' }));
  assert.equal(computeAndRelease(sequence([5, ...TEN])), 8);
});

test('roots of tenants and adapters go with their last block', () => {
  for (let tenant = 0; tenant < 50; tenant++) computeAndRelease(sequence(TEN, { tenant: `tenant ${tenant}` }));
  assert.ok(cache.prefixes.numRoots <= 5, `${cache.prefixes.numRoots} roots for 10 blocks`);
  computeAndRelease(sequence([1, 2]));
  while (cache.prefixes.evict());
  assert.equal(cache.prefixes.numRoots, 0);
  assert.equal(cache.blocks.numFree, 10);
});

test('a tenant that is forgotten finds nothing of its prefixes, and others find theirs', () => {
  const acme = { tenant: 'acme', adapter: 'sha256:a' } as const;
  computeAndRelease(sequence(TEN, acme));
  computeAndRelease(sequence([...TEN.slice(0, 4), 99, 98, 97, 96, 95], acme));
  computeAndRelease(sequence(TEN, { tenant: 'globex' }));
  const reading = sequence([50, ...TEN], { tenant: 'acme' });
  compute(reading);
  const numFree = cache.blocks.numFree;
  assert.equal(cache.prefixes.forget('acme'), 3, 'one block is shared, two follow it');
  assert.equal(cache.blocks.numFree, numFree + 3);
  auditCache(cache, [reading]);
  assert.equal(computeAndRelease(sequence(TEN, acme)), 0);
  assert.equal(computeAndRelease(sequence(TEN, { tenant: 'globex' })), 8);
  const before = cache.blocks.numFree;
  cache.release(reading);
  assert.equal(cache.blocks.numFree, before + 3, 'what was read then goes with its reader');
  assert.equal(computeAndRelease(sequence([50, ...TEN], { tenant: 'acme' })), 0);
  assert.equal(cache.prefixes.forget('acme'), 4);
  assert.equal(cache.prefixes.forget('nobody'), 0);
  auditCache(cache, []);
});

test('whatever comes and goes, every block has one holder, and a prefix as many users as sequences stand on it', () => {
  const rng = Rng.fromSeed(1);
  const held: Sequence[] = [];
  let [numHits, numRefused] = [0, 0];
  for (let round = 0; round < 4000; round++) {
    if (rng.nextFloat() < 0.5 && held.length < 6) {
      const tokens = Array.from({ length: 1 + rng.nextBelow(16) }, () => rng.nextBelow(2));
      const made = sequence(tokens, { tenant: rng.nextBelow(2) === 0 ? null : 'acme' });
      cache.begin(made);
      numHits += made.numShared;
      held.push(made);
    } else if (held.length > 0) {
      const index = rng.nextBelow(held.length);
      const some = held[index];
      const numMore = rng.nextBelow(some.numTokens - some.numComputed + 1);
      if (rng.nextFloat() < 0.3) {
        cache.release(some);
        held.splice(index, 1);
      } else if (cache.extend(some, some.numComputed + numMore)) {
        some.numComputed += numMore;
        cache.settle(some);
        if (some.numComputed === some.numTokens) some.tokenIds.push(rng.nextBelow(2));
      } else {
        numRefused++;
      }
    }
    auditCache(cache, held);
  }
  assert.ok(
    numHits > 50 && numRefused > 50 && cache.prefixes.numEvictions > 50,
    `${numHits} blocks shared, ${numRefused} times short`,
  );
  for (const some of held) cache.release(some);
  assert.equal(cache.numAvailable, 10);
});

test('the audit sees a wrong count, a lost block and a block held twice', () => {
  const [a, b] = [sequence(TEN), sequence([7, 8])];
  compute(a);
  compute(b);
  auditCache(cache, [a, b]);
  assert.throws(() => auditCache(cache, [a]), /every block is held or free/);
  assert.throws(() => auditCache(cache, [b]), /is read by 0 sequences, not 1/);
  const [own] = b.blocks;
  b.blocks[0] = a.blocks[2];
  assert.throws(() => auditCache(cache, [a, b]), /is held by/);
  b.blocks[0] = own;
  a.blocks[1] = own;
  assert.throws(() => auditCache(cache, [a, b]), /is that of its prefix/);
});
