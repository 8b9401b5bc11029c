import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../../base/index.ts';
import { BufferPool, Inference, loadNativeKernels, type Tensor } from '../../numeric/index.ts';
import { assertBitEqual, assertClose } from '../../numeric/compare.ts';
import { rotateBlocks } from './block-rotation.ts';
import { addKroneckerDelta, kroneckerCost, type KroneckerDelta } from './kronecker-delta.ts';
import { addScaledLowRankDelta } from './scaled-low-rank-delta.ts';

const kernels = loadNativeKernels({ threads: 2 });
const graph = (): Inference => new Inference(kernels, new BufferPool('f32'));

function random(name: string, ...shape: number[]): Tensor {
  const rng = Rng.fromSeed(9, name);
  const length = shape.reduce((product, size) => product * size, 1);
  return { shape, data: Float32Array.from({ length }, () => rng.nextNormal()) };
}

const copy = ({ shape, data }: Tensor): Tensor => ({ shape, data: data.slice() });

/** Applies to all rows at once and to each alone: the same bits. Returns the result of all. */
function applied(x: Tensor, y: Tensor, apply: (y: Tensor, x: Tensor) => void): Tensor {
  const together = copy(y);
  apply(together, x);
  const [T, I] = x.shape as [number, number];
  const O = y.shape[1];
  for (let t = 0; t < T; t++) {
    const row = copy({ shape: [1, O], data: y.data.subarray(t * O, (t + 1) * O) });
    apply(row, { shape: [1, I], data: x.data.subarray(t * I, (t + 1) * I) });
    assertBitEqual(row.data, together.data.subarray(t * O, (t + 1) * O), `row ${t} of ${T}`);
  }
  return together;
}

test('a rotation of blocks is the product with the block-diagonal matrix, a shared block one with itself repeated', () => {
  for (const [T, N, B, numStored] of [
    [1, 3, 4, 3],
    [7, 5, 3, 5],
    [13, 4, 5, 1],
    [2, 1, 6, 1],
  ]) {
    const blocks_NBB = random('blocks', numStored, B, B);
    const x = random('x', T, N * B);
    const rotated = applied(x, x, (rows) => rotateBlocks(graph(), rows, { kind: 'block-rotation', blocks_NBB }));
    const expected = Float64Array.from(rotated.data, (_, i) => {
      const [t, column] = [Math.floor(i / (N * B)), i % (N * B)];
      const [n, c] = [Math.floor(column / B), column % B];
      let sum = 0;
      for (let k = 0; k < B; k++)
        sum += x.data[t * N * B + n * B + k] * blocks_NBB.data[(n % numStored) * B * B + k * B + c];
      return sum;
    });
    assertClose(rotated.data, expected, 'f32Kernel');
  }
});

test('a Kronecker delta is the product with the Kronecker matrix, its right factor whole or a product', () => {
  for (const [T, A, B, C, D] of [
    [1, 2, 3, 4, 5],
    [7, 1, 11, 1, 13],
    [13, 5, 2, 3, 7],
  ]) {
    const [K, scale] = [2, 0.75];
    const left_AC = random('left', A, C);
    const [outer, inner] = [random('outer', B, K), random('inner', K, D)];
    const whole: Tensor = {
      shape: [B, D],
      data: Float32Array.from({ length: B * D }, (_, i) => {
        const [b, d] = [Math.floor(i / D), i % D];
        return outer.data[b * K] * inner.data[d] + outer.data[b * K + 1] * inner.data[D + d];
      }),
    };
    const [x, y] = [random('x', T, C * D), random('y', T, A * B)];
    const expected = Float64Array.from(y.data, (value, i) => {
      const [t, a, b] = [Math.floor(i / (A * B)), Math.floor((i % (A * B)) / B), i % B];
      let sum = 0;
      for (let c = 0; c < C; c++) {
        for (let d = 0; d < D; d++)
          sum += left_AC.data[a * C + c] * whole.data[b * D + d] * x.data[t * C * D + c * D + d];
      }
      return value + scale * sum;
    });
    for (const right of [[whole], [outer, inner]] as const) {
      const delta: KroneckerDelta = { kind: 'kronecker-delta', left_AC, right, scale };
      const result = applied(x, y, (rows, input) => addKroneckerDelta(graph(), rows, input, delta));
      assertClose(result.data, expected, 'f32Kernel');
      const ofRight = right.length === 1 ? B * D : B * K + K * D;
      assert.equal(kroneckerCost(delta), C * ofRight + A * B * C);
    }
  }
});

test('a scaled low-rank delta scales inside and outside', () => {
  for (const [T, I, O, R] of [
    [1, 5, 7, 3],
    [11, 13, 2, 4],
  ]) {
    const delta = {
      kind: 'scaled-low-rank-delta',
      a_RI: random('a', R, I),
      b_OR: random('b', O, R),
      inner_R: random('inner', R),
      outer_O: random('outer', O),
    } as const;
    const [x, y] = [random('x', T, I), random('y', T, O)];
    const result = applied(x, y, (rows, input) => addScaledLowRankDelta(graph(), rows, input, delta));
    const expected = Float64Array.from(y.data, (value, index) => {
      const [t, o] = [Math.floor(index / O), index % O];
      let sum = 0;
      for (let r = 0; r < R; r++) {
        let u = 0;
        for (let i = 0; i < I; i++) u += delta.a_RI.data[r * I + i] * x.data[t * I + i];
        sum += delta.b_OR.data[o * R + r] * delta.inner_R.data[r] * u;
      }
      return value + delta.outer_O.data[o] * sum;
    });
    assertClose(result.data, expected, 'f32Kernel');
  }
});
