import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { largeMemory } from './large-memory.ts';

const MIB = 2 ** 20;

test('memory is zeroed, of any size', () => {
  for (const size of [0, 64, 2 * MIB, 20 * MIB]) {
    const bytes = new Uint8Array(largeMemory(size));
    assert.equal(bytes.length, size);
    assert.ok(bytes.every((byte) => byte === 0));
  }
});

const hasLargePages = existsSync('/sys/kernel/mm/transparent_hugepage/enabled') && existsSync('/proc/self/smaps');

test('large memory is marked for large pages, small memory is not', { skip: !hasLargePages }, () => {
  // The kernel's flags of each mapping: "hg" is MADV_HUGEPAGE.
  const numMarked = (): number => readFileSync('/proc/self/smaps', 'utf8').match(/^VmFlags:.* hg\b/gm)?.length ?? 0;
  const before = numMarked();
  const small = largeMemory(1 * MIB);
  assert.equal(numMarked(), before);
  const large = largeMemory(64 * MIB);
  assert.equal(numMarked(), before + 1);
  assert.equal(small.byteLength + large.byteLength, 65 * MIB);
});
