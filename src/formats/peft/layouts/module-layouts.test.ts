import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OftConfig } from '../configs/oft-config.ts';
import { factorise, oftBlocks } from './module-layouts.ts';

test('a dimension is split as PEFT’s LoKr splits it', () => {
  // What peft.tuners.lokr.layer.factorization gives.
  const cases: [dimension: number, factor: number, expected: [number, number]][] = [
    [256, -1, [16, 16]],
    [128, -1, [8, 16]],
    [127, -1, [1, 127]],
    [128, 4, [4, 32]],
    [576, -1, [24, 24]],
    [1536, -1, [32, 48]],
    [48, 5, [4, 12]],
    [48, 64, [6, 8]],
    [8, 4, [4, 2]],
    [10, -1, [2, 5]],
  ];
  for (const [dimension, factor, expected] of cases) {
    assert.deepEqual(factorise(dimension, factor), expected, `${dimension} by ${factor}`);
  }
});

test('OFT’s block size or number of blocks moves to the nearest divisor, the lower of two', () => {
  const blocks = (fields: Partial<OftConfig>, inputs: number) =>
    Object.values(oftBlocks({ r: 0, oft_block_size: 0, ...fields } as OftConfig, inputs));
  assert.deepEqual(blocks({ oft_block_size: 8 }, 48), [8, 6]);
  assert.deepEqual(blocks({ oft_block_size: 10 }, 32), [8, 4]);
  assert.deepEqual(blocks({ oft_block_size: 7 }, 48), [6, 8]);
  assert.deepEqual(blocks({ oft_block_size: 64 }, 48), [48, 1]);
  assert.deepEqual(blocks({ r: 5 }, 48), [12, 4]);
  assert.deepEqual(blocks({ r: 6 }, 48), [8, 6]);
});
