/** Causal attention, packed and paged: T rows, H query heads, G key-value heads, E head width. */
import assert from 'node:assert/strict';
import { assertBitEqual, expectZero } from '../../../src/numeric/compare.ts';
import type { AttentionShape, Floats, Kernels, PagedRows } from '../../../src/numeric/kernels.ts';
import { bf16FromFloat } from '../../../src/base/index.ts';
import { referenceKernels } from '../../../src/numeric/index.ts';
import { segmentStartsOf } from '../../support/random-arrays.ts';
import type { Arrays, KernelCase, KernelCheck, Outputs } from './check.ts';
import { agreesWithReference, float32Arrays, random, rowOf } from './check.ts';

interface AttentionExample {
  readonly label: string;
  /** Of the packed segments. */
  readonly lengths: readonly number[];
  readonly shape: AttentionShape;
}

function exampleOf(lengths: readonly number[], H: number, G: number, E: number): AttentionExample {
  const T = lengths.reduce((a, b) => a + b, 0);
  const label = `segments [${lengths.join(', ')}] H=${H} G=${G} E=${E}`;
  return { label, lengths, shape: { T, H, G, E, scale: 1 / Math.sqrt(E) } };
}

const SEGMENTS = [[], [1], [2], [1, 1], [3], [7], [1, 5, 1], [3, 1, 9], [64], [31, 33], [133]];
const examples: readonly AttentionExample[] = [
  ...SEGMENTS.flatMap((lengths) => [
    exampleOf(lengths, 1, 1, 1),
    exampleOf(lengths, 4, 4, 5),
    exampleOf(lengths, 6, 2, 24),
    exampleOf(lengths, 14, 2, 7),
  ]),
  exampleOf([5], 9, 3, 64),
  exampleOf([1, 70, 62], 9, 3, 64),
  exampleOf([2, 131, 3], 3, 1, 128),
  exampleOf([263], 2, 1, 16),
];

/** q, k, v and dout of the example, or of its rows from..to alone. */
function inputs(
  arrays: Arrays,
  { shape }: AttentionExample,
  from = 0,
  to = shape.T,
): Record<'q' | 'k' | 'v' | 'dout', Floats> {
  const { T, H, G, E } = shape;
  const part = (name: string, width: number): Floats =>
    arrays.input(random(T * width, name).subarray(from * width, to * width));
  return { q: part('q', H * E), k: part('k', G * E), v: part('v', G * E), dout: part('dout', H * E) };
}

function attend(kernels: Kernels, arrays: Arrays, example: AttentionExample, from = 0, to = example.shape.T): Outputs {
  const shape = { ...example.shape, T: to - from };
  const { T, H, G, E } = shape;
  const { q, k, v, dout } = inputs(arrays, example, from, to);
  const starts = segmentStartsOf(example.lengths)
    .subarray(from, to)
    .map((start) => start - from);
  const [out, lse, dq] = [T * H * E, T * H, T * H * E].map((length) => arrays.output(length));
  const [dk, dv] = [arrays.output(T * G * E), arrays.output(T * G * E)];
  kernels.attentionForward(out, lse, q, k, v, starts, shape);
  kernels.attentionBackward(dq, dk, dv, dout, out, lse, q, k, v, starts, shape);
  return { out, lse, dq, dk, dv };
}

/** Where every row sees one key only, dq and dk are zero but for rounding: they are compared beside dv. */
function joinGradients(outputs: Outputs, lengths: readonly number[]): Outputs {
  const { dq, dk, dv, ...rest } = outputs;
  if (lengths.some((length) => length !== 1)) return outputs;
  return { ...rest, dv, gradients: Float64Array.from([...dq, ...dk, ...dv]) };
}

const packedCases: readonly KernelCase[] = examples.map((example) => ({
  label: example.label,
  tolerance: 'f32Kernel',
  compute: (kernels, arrays) => joinGradients(attend(kernels, arrays, example), example.lengths),
}));

/** Segments by what they share and how many rows of their own they have. */
const SHARING: readonly (readonly (readonly [shared: readonly number[], own: number])[])[] = [
  [
    [[], 3],
    [[0, 1], 2],
    [[0, 1, 2], 0],
  ],
  [
    [[], 1],
    [[0], 1],
    [[0, 1], 1],
    [[], 4],
    [[3, 4], 70],
  ],
];

const sharedCases: readonly KernelCase[] = SHARING.flatMap((segments) =>
  [
    [1, 1, 1],
    [6, 2, 24],
  ].map(([H, G, E]): KernelCase => {
    const starts: number[] = [];
    const places: number[] = [];
    let T = 0;
    for (const [shared, own] of segments) {
      const start = starts.length;
      places.push(...shared, ...Array.from({ length: own }, (_, n) => T + n));
      while (starts.length < places.length) starts.push(start);
      T += own;
    }
    const shape = { T, H, G, E, scale: 1 / Math.sqrt(E) };
    const label = `rows that ${segments.length} segments share, H=${H} G=${G} E=${E}`;
    return {
      label,
      tolerance: 'f32Kernel',
      compute(kernels, arrays) {
        const { q, k, v, dout } = inputs(arrays, { label, lengths: [T], shape });
        const [out, lse, dq] = [T * H * E, T * H, T * H * E].map((length) => arrays.output(length));
        const [dk, dv] = [arrays.output(T * G * E), arrays.output(T * G * E)];
        const [starts_X, rows_X] = [Int32Array.from(starts), Int32Array.from(places)];
        kernels.attentionForward(out, lse, q, k, v, starts_X, shape, rows_X);
        kernels.attentionBackward(dq, dk, dv, dout, out, lse, q, k, v, starts_X, shape, rows_X);
        return { out, lse, dq, dk, dv };
      },
    };
  }),
);

const segmentAlone: KernelCheck = {
  name: 'attention: a segment alone has the bits of the segment among others, forward and backward',
  methods: ['attentionForward', 'attentionBackward'],
  run({ kernels }) {
    for (const example of examples.filter(({ lengths }) => lengths.length > 1)) {
      const { T } = example.shape;
      const packed = attend(kernels, float32Arrays, example);
      let from = 0;
      for (const length of example.lengths) {
        const alone = attend(kernels, float32Arrays, example, from, from + length);
        for (const [name, values] of Object.entries(packed)) {
          const width = values.length / T;
          const expected = values.slice(from * width, (from + length) * width);
          assertBitEqual(alone[name], expected, `${example.label}: ${name} of rows from ${from}`);
        }
        from += length;
      }
    }
  },
};

/** The example's keys and values in a cache of scattered blocks. Places of no key hold NaN: nobody may read them. */
function page(
  example: AttentionExample,
  blockSize: number,
): { kCache: Float32Array; vCache: Float32Array; rows: PagedRows } {
  const { lengths, shape } = example;
  const width = shape.G * shape.E;
  const { k, v } = inputs(float32Arrays, example);
  const maxBlocks = Math.ceil(Math.max(0, ...lengths) / blockSize) + 1;
  const numBlocks = lengths.length * maxBlocks;
  // Every block once, in an order that is not the rising one.
  const blockTables = Int32Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i);
  const [kCache, vCache] = [k, v].map(() => new Float32Array(numBlocks * blockSize * width).fill(NaN));
  const rowSequences: number[] = [];
  const contextLengths: number[] = [];
  for (const [sequence, length] of lengths.entries()) {
    for (let position = 0; position < length; position++) {
      const block = blockTables[sequence * maxBlocks + Math.floor(position / blockSize)];
      const place = position % blockSize;
      for (let i = 0; i < width; i++) {
        const [head, e] = [block * shape.G + Math.floor(i / shape.E), i % shape.E];
        kCache[(head * shape.E + e) * blockSize + place] = k[rowSequences.length * width + i];
        vCache[(head * blockSize + place) * shape.E + e] = v[rowSequences.length * width + i];
      }
      rowSequences.push(sequence);
      contextLengths.push(position + 1);
    }
  }
  const rows = {
    rowSequences: Int32Array.from(rowSequences),
    contextLengths: Int32Array.from(contextLengths),
    blockTables,
    maxBlocks,
    blockSize,
  };
  return { kCache, vCache, rows };
}

const BLOCK_SIZES: readonly number[] = [1, 7, 16];

// Other sizes of blocks are held to these by the law below.
const pagedCases: readonly KernelCase[] = examples.flatMap((example) =>
  [7].map((blockSize) => ({
    label: `${example.label} in blocks of ${blockSize}`,
    tolerance: 'f32Kernel' as const,
    compute(kernels: Kernels, arrays: Arrays) {
      const { kCache, vCache, rows } = page(example, blockSize);
      const { q } = inputs(arrays, example);
      const out = arrays.output(q.length);
      const [k, v] = [kCache, vCache].map((cache) => arrays.input(Float64Array.from(cache)));
      kernels.attentionPaged(out, q, k, v, rows, example.shape);
      return { out };
    },
  })),
);

/** The same out of a cache in bfloat16. */
const wordCases: readonly KernelCase[] = examples.map((example) => ({
  label: `${example.label} in blocks of 16, in bfloat16`,
  tolerance: 'f32Kernel',
  compute(kernels: Kernels, arrays: Arrays) {
    const { kCache, vCache, rows } = page(example, 16);
    const { q } = inputs(arrays, example);
    const out = arrays.output(q.length);
    const [k, v] = [kCache, vCache].map((cache) => Uint16Array.from(cache, bf16FromFloat));
    kernels.attentionPaged(out, q, k, v, rows, example.shape);
    return { out };
  },
}));

/** Keys and values are rounded to the nearest bfloat16 where the cache holds such. */
const wordWrites: KernelCheck = {
  name: 'cacheKeyValues: a cache in bfloat16 holds what the reference rounds, bit for bit',
  methods: ['cacheKeyValues'],
  run({ kernels }) {
    for (const example of examples.filter(({ shape }) => shape.T > 0)) {
      const { kCache, rows } = page(example, 7);
      const { k, v } = inputs(float32Arrays, example);
      const [ours, theirs] = [kernels, referenceKernels()].map((one) => {
        const caches = [new Uint16Array(kCache.length).fill(7), new Uint16Array(kCache.length).fill(9)] as const;
        one.cacheKeyValues(...caches, k, v, rows, example.shape);
        return caches;
      });
      assert.deepEqual(ours, theirs, example.label);
      // Two keys that were exchanged, or none that was written, would not differ from 7 and 9 in as many places.
      const numWritten = ours.flatMap((cache, i) => [...cache].filter((word) => word !== [7, 9][i])).length;
      assert.equal(numWritten, 2 * example.shape.T * example.shape.G * example.shape.E, example.label);
    }
  },
};

/** The keys and values of the example, written into a cache that holds other numbers before. */
const cacheCases: readonly KernelCase[] = examples.map((example) => ({
  label: `${example.label} into the cache`,
  tolerance: 'f32Kernel' as const,
  compute(kernels: Kernels, arrays: Arrays) {
    const { kCache, rows } = page(example, 7);
    const { k, v } = inputs(arrays, example);
    const [keys, values] = ['keys before', 'values before'].map((name) => arrays.input(random(kCache.length, name)));
    if (kCache.length > 0) kernels.cacheKeyValues(keys, values, k, v, rows, example.shape);
    return { keys, values };
  },
}));

const pagedLaw: KernelCheck = {
  name: 'attention: paged rows in any order, and one alone, have the bits of packed rows',
  methods: ['attentionPaged', 'attentionForward'],
  run({ kernels }) {
    for (const example of examples.filter(({ shape }) => shape.T > 0)) {
      const { T, H, E } = example.shape;
      const expected = attend(kernels, float32Arrays, example)['out'];
      const { q } = inputs(float32Arrays, example);
      for (const blockSize of BLOCK_SIZES) {
        const { kCache, vCache, rows } = page(example, blockSize);
        const reversed = Array.from({ length: T }, (_, t) => T - 1 - t);
        for (const order of [reversed, [0], [T - 1], [Math.floor(T / 2)]]) {
          const pick = (values: Int32Array): Int32Array => Int32Array.from(order, (t) => values[t]);
          const gather = (values: Floats): Float32Array =>
            Float32Array.from(order.flatMap((t) => [...rowOf(values, t, H * E)]));
          const picked = { ...rows, rowSequences: pick(rows.rowSequences), contextLengths: pick(rows.contextLengths) };
          const out = new Float32Array(order.length * H * E).fill(NaN);
          kernels.attentionPaged(out, gather(q), kCache, vCache, picked, { ...example.shape, T: order.length });
          const what = `${example.label} in blocks of ${blockSize}, rows ${order.slice(0, 3).join(', ')}`;
          assertBitEqual(out, gather(expected as Floats), what);
        }
      }
    }
  },
};

const largeScores: KernelCase = {
  label: 'scores far beyond exp of a float32',
  tolerance: 'f32Kernel',
  compute(kernels, arrays) {
    const shape = { T: 3, H: 1, G: 1, E: 2, scale: 1 };
    const [out, lse] = [arrays.output(6), arrays.output(3)];
    const [q, k] = [Float64Array.of(50, 50, 40, 60, 10, 9), Float64Array.of(10, 20, 20, 10, -80, 90)];
    const v = arrays.input(random(6, 'v'));
    kernels.attentionForward(out, lse, arrays.input(q), arrays.input(k), v, Int32Array.of(0, 0, 0), shape);
    return { out, lse };
  },
};

const noKeys: KernelCheck = {
  name: 'attentionPaged: a row without keys gets zeros and disturbs no other row',
  methods: ['attentionPaged'],
  run({ kernels }) {
    const shape = { T: 2, H: 2, G: 1, E: 3, scale: 1 };
    const [q, cache] = [Float32Array.from(random(12, 'q')), Float32Array.from(random(12, 'cache'))];
    const rows = { rowSequences: Int32Array.of(0, 0), blockTables: Int32Array.of(1), maxBlocks: 1, blockSize: 2 };
    const out = new Float32Array(12).fill(NaN);
    kernels.attentionPaged(out, q, cache, cache, { ...rows, contextLengths: Int32Array.of(0, 1) }, shape);
    expectZero(out.subarray(0, 6));
    // One key: its value is the result.
    assert.deepEqual([...out.subarray(6)], [...cache.subarray(6, 9), ...cache.subarray(6, 9)]);
  },
};

export const attentionChecks: readonly KernelCheck[] = [
  agreesWithReference(['attentionForward', 'attentionBackward'], packedCases),
  agreesWithReference(['attentionForward', 'attentionBackward'], sharedCases, 'attention: shared rows'),
  agreesWithReference(['attentionForward'], [largeScores], 'attentionForward: large scores'),
  segmentAlone,
  agreesWithReference(['cacheKeyValues'], cacheCases),
  agreesWithReference(['attentionPaged'], pagedCases),
  agreesWithReference(['attentionPaged'], wordCases, 'attentionPaged: a cache in bfloat16'),
  wordWrites,
  pagedLaw,
  noKeys,
];
