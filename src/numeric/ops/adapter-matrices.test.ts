/** What the operations behind HRA, VB-LoRA, FourierFT, RandLoRA and MiSS compute, against their definitions in float64. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalArray } from '../../../test/support/random-arrays.ts';
import { assertClose } from '../compare.ts';
import { Inference } from '../graph.ts';
import { loadNativeKernels } from '../native.ts';
import { BufferPool } from '../pool.ts';
import { referenceKernels } from '../reference/index.ts';
import { tensor, type Tensor } from '../tensor.ts';
import { blockProducts } from './block-products.ts';
import { inverseFourier } from './fourier.ts';
import { reflectionFactors, unitRows } from './reflections.ts';
import { scaledBases } from './scaled-bases.ts';
import { mixTopVectors } from './vector-bank.ts';

const g = new Inference(referenceKernels(), new BufferPool('f64'));

const random = (name: string, ...shape: number[]): Tensor =>
  tensor(
    shape,
    normalArray(
      shape.reduce((product, size) => product * size, 1),
      name,
    ),
  );

function times(a: Float64Array, b: Float64Array, n: number): Float64Array {
  return a.map((_, at) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[Math.floor(at / n) * n + k] * b[k * n + (at % n)];
    return sum;
  });
}

test('factors of reflections are their product less the identity', () => {
  for (const [I, R] of [
    [1, 1],
    [5, 3],
    [7, 7],
  ]) {
    const u = random('u', I, R);
    const a = unitRows(g, u);
    const p = reflectionFactors(g, a);
    const identity = Float64Array.from({ length: I * I }, (_, at) => (at % (I + 1) === 0 ? 1 : 0));
    let product: Float64Array = identity;
    for (let r = 0; r < R; r++) {
      let norm = 0;
      for (let i = 0; i < I; i++) norm += u.data[i * R + r] ** 2;
      const reflection = identity.map(
        (value, at) => value - (2 * u.data[Math.floor(at / I) * R + r] * u.data[(at % I) * R + r]) / norm,
      );
      product = times(product, reflection, I);
    }
    const made = identity.map((value, at) => {
      let sum = value;
      for (let r = 0; r < R; r++) sum += p.data[Math.floor(at / I) * R + r] * a.data[r * I + (at % I)];
      return sum;
    });
    assertClose(made, product, 'f64', `${I} by ${R}`);
  }
});

test('mixed vectors are the softmax over the largest logits', () => {
  const [N, V, L, k] = [6, 5, 3, 2];
  const [logits, bank] = [random('logits', N, V), random('bank', V, L)];
  const expected = Array.from({ length: N }, (_, n) => {
    const row = [...logits.data.subarray(n * V, (n + 1) * V)];
    const top = [...row.keys()].sort((x, y) => row[y] - row[x]).slice(0, k);
    const weights = top.map((v) => Math.exp(row[v]));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return Array.from({ length: L }, (_, l) =>
      top.reduce((total, v, j) => total + (weights[j] / sum) * bank.data[v * L + l], 0),
    );
  });
  assertClose(mixTopVectors(g, logits, bank, k).data, expected.flat(), 'f64');
  const equal = tensor([1, 3], Float64Array.of(1, 1, 1));
  const ones = tensor([3, 1], Float64Array.of(10, 20, 40));
  assert.deepEqual([...mixTopVectors(g, equal, ones, 2).data], [15], 'of equal logits the first are chosen');
});

test('an inverse Fourier transform is its sum of cosines, in float32 too', () => {
  for (const [O, I, N] of [
    [1, 1, 1],
    [6, 5, 4],
    [8, 12, 30],
  ]) {
    const places = Array.from({ length: N }, (_, n) => (n * 7) % (O * I));
    const at = {
      O,
      I,
      rows: Int32Array.from(places, (place) => Math.floor(place / I)),
      columns: Int32Array.from(places, (place) => place % I),
    };
    const spectrum = random('spectrum', N);
    const expected = Float64Array.from({ length: O * I }, (_, index) => {
      const [o, i] = [Math.floor(index / I), index % I];
      let sum = 0;
      for (let n = 0; n < N; n++) {
        sum += spectrum.data[n] * Math.cos(2 * Math.PI * ((at.rows[n] * o) / O + (at.columns[n] * i) / I));
      }
      return (150 * sum) / (O * I);
    });
    assertClose(inverseFourier(g, spectrum, at, 150).data, expected, 'f64', `${O} by ${I}`);
    const native = new Inference(loadNativeKernels({ threads: 1 }), new BufferPool('f32'));
    const single = tensor([N], Float32Array.from(spectrum.data));
    assertClose(inverseFourier(native, single, at, 150).data, expected, 'f32Kernel', `${O} by ${I} in float32`);
  }
});

test('scaled bases are scaled on both sides, the base’s row first', () => {
  const [R, N, S] = [2, 3, 4];
  const [basis, lambda, gamma] = [random('basis', R, S), random('lambda', R, N), random('gamma', N, S)];
  const expected = Float64Array.from({ length: R * N * S }, (_, at) => {
    const [k, n, s] = [Math.floor(at / (N * S)), Math.floor(at / S) % N, at % S];
    return lambda.data[k * N + n] * basis.data[k * S + s] * gamma.data[n * S + s];
  });
  assertClose(scaledBases(g, basis, lambda, gamma).data, expected, 'f64');
});

test('block products are W·B + B, block by block', () => {
  const [N, R, I] = [3, 2, 8];
  const [blocks, weight] = [random('blocks', N, R, R), random('weight', N * R, I)];
  const expected = Float64Array.from({ length: N * R * I }, (_, at) => {
    const [row, column] = [Math.floor(at / I), at % I];
    const [n, p, q] = [Math.floor(row / R), row % R, column % R];
    const blockAt = (i: number, j: number): number => blocks.data[(n * R + i) * R + j];
    let sum = blockAt(p, q);
    for (let m = 0; m < R; m++) sum += weight.data[row * I + column - q + m] * blockAt(m, q);
    return sum;
  });
  assertClose(blockProducts(g, weight.data, blocks, I).data, expected, 'f64');
});
