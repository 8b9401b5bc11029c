/** The way back of the operations on adapters' matrices and vectors: central differences in float64, as the first reader and as a later one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { centralDifferences, inner } from '../../../test/support/central-differences.ts';
import { normalArray } from '../../../test/support/random-arrays.ts';
import { assertClose, compareToReference } from '../compare.ts';
import type { Graph } from '../graph.ts';
import { BufferPool } from '../pool.ts';
import { referenceKernels } from '../reference/index.ts';
import { Tape, type Parameter } from '../tape.ts';
import { tensor, type Tensor } from '../tensor.ts';
import { activate } from './activations.ts';
import { blockProducts } from './block-products.ts';
import { multiplyBlocks } from './blocks.ts';
import { addColumns, multiplyColumns, scaleAround } from './columns.ts';
import { addInPlace, swiglu } from './elementwise.ts';
import { inverseFourier } from './fourier.ts';
import { observeGradient } from './linear.ts';
import { logitsLosses } from './logits-loss.ts';
import { addDenseDelta, denseLinear, kronecker, matmul, multiply } from './matrix.ts';
import { rmsNorm } from './norm.ts';
import { rearrange, transpose } from './rearrange.ts';
import { reflectionFactors, unitRows } from './reflections.ts';
import { scaledBases } from './scaled-bases.ts';
import { addRows, gatherColumns, joinColumns, replaceColumns, replaceRows, sliceColumns } from './slices.ts';
import { mixTopVectors } from './vector-bank.ts';

type Operation = (g: Graph, inputs: readonly Tensor[]) => Tensor;

/** A copy through the tape: in-place operations must not change a parameter. */
const copyOf = (g: Graph, x: Tensor): Tensor => multiplyColumns(g, x, ones(x.shape[1]));
const ones = (length: number): Tensor => tensor([length], new Float64Array(length).fill(1));

const BIAS = tensor([4], normalArray(4, 'a bias'));
const BASIS = tensor([2, 4], normalArray(8, 'a basis'));
const WEIGHT = normalArray(36, 'a weight');
const FREQUENCIES = { rows: Int32Array.of(0, 3, 1), columns: Int32Array.of(2, 0, 5), O: 4, I: 6 };

const CASES: Readonly<Record<string, readonly [shapes: readonly (readonly number[])[], operation: Operation]>> = {
  multiplyColumns: [
    [
      [3, 4],
      [4, 1],
    ],
    (g, [x, factor]) => multiplyColumns(g, x, factor),
  ],
  scaleAround: [[[3, 4], [4]], (g, [x, factor]) => scaleAround(g, x, factor, BIAS)],
  'scaleAround without a bias': [[[3, 4], [4]], (g, [x, factor]) => scaleAround(g, x, factor)],
  addColumns: [
    [[3, 4], [4]],
    (g, [x, bias]) => {
      const y = copyOf(g, x);
      addColumns(g, y, bias, 1.5);
      return y;
    },
  ],
  matmul: [
    [
      [3, 4],
      [4, 5],
    ],
    (g, [a, b]) => matmul(g, a, b),
  ],
  multiply: [
    [
      [3, 4],
      [3, 4],
    ],
    (g, [a, b]) => multiply(g, a, b),
  ],
  'multiply by itself': [[[3, 4]], (g, [a]) => multiply(g, a, a)],
  kronecker: [
    [
      [2, 3],
      [4, 2],
    ],
    (g, [left, right]) => kronecker(g, left, right),
  ],
  denseLinear: [
    [
      [3, 4],
      [5, 4],
    ],
    (g, [x, w]) => denseLinear(g, x, w),
  ],
  addDenseDelta: [
    [
      [3, 5],
      [3, 4],
      [5, 4],
    ],
    (g, [before, x, w]) => {
      const y = copyOf(g, before);
      addDenseDelta(g, y, x, w, -0.7);
      return y;
    },
  ],
  multiplyBlocks: [
    [
      [3, 6],
      [3, 2, 2],
    ],
    (g, [x, blocks]) => multiplyBlocks(g, x, blocks),
  ],
  'multiplyBlocks with one block for all': [
    [
      [3, 6],
      [1, 2, 2],
    ],
    (g, [x, blocks]) => multiplyBlocks(g, x, blocks),
  ],
  relu: [[[3, 4]], (g, [x]) => activate(g, x, 'relu')],
  tanh: [[[3, 4]], (g, [x]) => activate(g, x, 'tanh')],
  sigmoid: [[[3, 4]], (g, [x]) => activate(g, x, 'sigmoid')],
  rmsNorm: [[[3, 4], [4]], (g, [x, gain]) => rmsNorm(g, x, gain, 1e-5)],
  logitsLosses: [[[3, 5]], (g, [x]) => logitsLosses(g, x, Int32Array.of(4, 0, 2)).losses],
  'replaceRows from some columns': [
    [
      [4, 2],
      [3, 5],
    ],
    (g, [before, source]) => {
      const x = copyOf(g, before);
      replaceRows(g, x, source, { to: Int32Array.of(3, 0, 1), from: Int32Array.of(1, 2, 1), column: 2 });
      return x;
    },
  ],
  addRows: [
    [
      [4, 3],
      [2, 3],
    ],
    (g, [before, source]) => {
      const x = copyOf(g, before);
      addRows(g, x, source, { to: Int32Array.of(3, 0, 1), from: Int32Array.of(1, 0, 1) }, 0.6);
      return x;
    },
  ],
  gatherColumns: [[[3, 4]], (g, [x]) => gatherColumns(g, x, Int32Array.of(2, 0, 2))],
  replaceColumns: [
    [
      [3, 4],
      [3, 2],
    ],
    (g, [before, source]) => {
      const x = copyOf(g, before);
      replaceColumns(g, x, source, Int32Array.of(3, 1));
      return x;
    },
  ],
  sliceColumns: [[[3, 4]], (g, [x]) => sliceColumns(g, x, 1, 3)],
  joinColumns: [
    [
      [3, 2],
      [3, 1],
    ],
    (g, [a, b]) => joinColumns(g, [a, b, a]),
  ],
  'rows of a vector': [
    [[3, 2], [5]],
    (g, [before, all]) => {
      const y = copyOf(g, before);
      addColumns(g, y, g.rows(all, 2, 4), 0.5);
      return y;
    },
  ],
  'rearrange with a number twice and one never': [
    [[2, 3]],
    (g, [x]) => rearrange(g, x, Int32Array.of(5, 1, 1, 0), [4, 1]),
  ],
  transpose: [[[2, 3]], (g, [x]) => transpose(g, x)],
  // Its way back reads its output, which must not be changed in place.
  unitRows: [[[5, 3]], (g, [u]) => copyOf(g, unitRows(g, u))],
  reflectionFactors: [[[3, 5]], (g, [a]) => reflectionFactors(g, a)],
  mixTopVectors: [
    [
      [2, 3, 5],
      [5, 4],
    ],
    (g, [logits, bank]) => mixTopVectors(g, logits, bank, 2),
  ],
  inverseFourier: [[[3]], (g, [spectrum]) => inverseFourier(g, spectrum, FREQUENCIES, 7)],
  scaledBases: [
    [
      [2, 3],
      [3, 4],
    ],
    (g, [lambda, gamma]) => scaledBases(g, BASIS, lambda, gamma),
  ],
  blockProducts: [[[3, 2, 2]], (g, [blocks]) => blockProducts(g, WEIGHT, blocks, 6)],
};

/** A loss whose gradient with respect to the operation's output is known, twice over: the second reader accumulates. */
function lossOf(g: Graph, operation: Operation, inputs: readonly Tensor[]): Tensor {
  const y = operation(g, inputs);
  addInPlace(g, y, operation(g, inputs));
  const weights = normalArray(y.data.length, 'weights');
  const loss = g.empty([1]);
  loss.data[0] = inner(Float64Array.from(y.data), weights);
  g.record(loss, [y], [], (dLoss) => {
    const { tensor: dy } = g.gradient(y);
    for (let i = 0; i < weights.length; i++) dy.data[i] = dLoss.data[0] * weights[i];
  });
  return loss;
}

for (const [name, [shapes, operation]] of Object.entries(CASES)) {
  test(`${name}: gradients are central differences`, () => {
    const parameters = shapes.map((shape, index): Parameter => {
      const length = shape.reduce((product, size) => product * size, 1);
      const value = tensor(shape, normalArray(length, `${name} ${index}`));
      return { name: `${index}`, value, gradient: tensor(shape, new Float64Array(length)) };
    });
    const inputs = parameters.map(({ value }) => value);
    const tape = new Tape(referenceKernels(), new BufferPool('f64'), parameters);
    const lossAt = (): number => {
      const loss = lossOf(tape, operation, inputs).data[0];
      tape.reset();
      return loss;
    };
    const expected = inputs.map(({ data }) => centralDifferences(lossAt, data as Float64Array));
    tape.backward(lossOf(tape, operation, inputs));
    for (const [index, { gradient }] of parameters.entries()) {
      assertClose(gradient.data, expected[index], 'centralDifference', `input ${index}`);
      // A mutant: an operation that forgot its second reader.
      const half = gradient.data.map((value) => value / 2);
      assert.equal(compareToReference(half, expected[index], 'centralDifference').passes, false);
    }
  });

  test(`${name}: an input that needs no gradient gets none, and changes no other's`, () => {
    const inputs = shapes.map((shape, index) => {
      const length = shape.reduce((product, size) => product * size, 1);
      return tensor(shape, normalArray(length, `${name} ${index}`));
    });
    const gradientsOf = (trained: readonly number[]): Tensor[] => {
      const parameters = trained.map((index): Parameter => {
        const value = inputs[index];
        return { name: `${index}`, value, gradient: tensor(value.shape, new Float64Array(value.data.length)) };
      });
      const tape = new Tape(referenceKernels(), new BufferPool('f64'), parameters);
      tape.backward(lossOf(tape, operation, inputs));
      return parameters.map(({ gradient }) => gradient);
    };
    const all = gradientsOf([...inputs.keys()]);
    for (const index of inputs.keys()) assert.deepEqual(gradientsOf([index])[0].data, all[index].data);
  });
}

test('swiglu goes back to one side when the other needs no gradient', () => {
  const [gate, up] = ['gate', 'up'].map((name) => tensor([2, 3], normalArray(6, name)));
  const gradientOf = (trained: readonly Tensor[]): Tensor => {
    const parameters = trained.map((value, index): Parameter => ({
      name: `${index}`,
      value,
      gradient: tensor([2, 3], new Float64Array(6)),
    }));
    const tape = new Tape(referenceKernels(), new BufferPool('f64'), parameters);
    // Copies: swiglu is to be the only reader of its inputs.
    const [g, u] = [gate, up].map((value) => (trained.includes(value) ? copyOf(tape, value) : value));
    tape.backward(lossOf(tape, (graph) => swiglu(graph, copyOf(graph, g), copyOf(graph, u)), []));
    return parameters[0].gradient;
  };
  assert.deepEqual(gradientOf([gate]).data, gradientOf([gate, up]).data);
});

test('an observed gradient is the one that the weights of the layer have', () => {
  const [x, w] = [tensor([3, 4], normalArray(12, 'x')), tensor([5, 4], normalArray(20, 'w'))];
  const gradientOf = (operation: (g: Graph, parameter: Tensor) => Tensor): Tensor => {
    const gradient = tensor([5, 4], new Float64Array(20));
    const tape = new Tape(referenceKernels(), new BufferPool('f64'), [{ name: 'w', value: w, gradient }]);
    tape.backward(lossOf(tape, (g) => operation(g, w), []));
    return gradient;
  };
  const own = gradientOf((g, parameter) => denseLinear(g, x, parameter));
  const observed = gradientOf((g, parameter) => {
    const y = denseLinear(g, x, tensor(w.shape, w.data.slice()));
    observeGradient(g, y, x, parameter);
    return y;
  });
  assertClose(observed.data, own.data, 'f64');
});
