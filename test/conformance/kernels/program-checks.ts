/** What adapters do to their rows, all of a batch in one call: T rows, I inputs and O outputs of a layer, R ranks. */
import assert from 'node:assert/strict';
import { assertBitEqual } from '../../../src/numeric/compare.ts';
import type { BoundRows, Floats, Kernels } from '../../../src/numeric/kernels.ts';
import {
  operationsAt,
  packRowProgram,
  type ProgramSpan,
  type RowOperation,
  type RowProgram,
} from '../../../src/numeric/row-program.ts';
import type { Arrays, KernelCase, KernelCheck, Outputs } from './check.ts';
import { agreesWithReference, float32Arrays, random } from './check.ts';

/** The slot that is looked at; others hold something else. */
const SLOT = 2;
const SCALE = -0.7;

interface Layer {
  readonly I: number;
  readonly O: number;
}

type Kind = RowOperation['kind'];

/** Numbers of an adapter, as float32 or cut off to bfloat16. */
function numbers(length: number, name: string, isBf16: boolean): Float32Array {
  const values = Float32Array.from(random(length, name));
  if (isBf16) new Uint32Array(values.buffer).forEach((bits, i, all) => (all[i] = bits & 0xffff0000));
  return values;
}

function operation(kind: Kind, { I, O }: Layer, rank: number, name: string): RowOperation {
  const isBf16 = name.endsWith('bf16');
  switch (kind) {
    case 'scale-input':
      return { kind, factor_I: numbers(I, `${name} factor`, false) };
    case 'scale-output':
      return { kind, factor_O: numbers(O, `${name} factor`, false) };
    case 'bias':
      return { kind, bias_O: numbers(O, `${name} bias`, false) };
    case 'low-rank-delta': {
      const [a_RI, b_OR] = [numbers(rank * I, `${name} A`, isBf16), numbers(O * rank, `${name} B`, isBf16)];
      return { kind, a_RI, b_OR, rank, scale: SCALE };
    }
  }
}

function program(layer: Layer, kinds: readonly Kind[], rank: number, name: string): RowProgram {
  const at = (slot: number, own: string) => ({
    slot,
    in: layer.I,
    out: layer.O,
    operations: kinds.map((kind) => operation(kind, layer, rank, `${own} ${name}`)),
  });
  return packRowProgram([at(SLOT + 1, 'other'), at(SLOT, 'own'), at(0, 'another')]);
}

const KINDS: readonly (readonly Kind[])[] = [
  ['low-rank-delta'],
  ['scale-input'],
  ['scale-output'],
  ['bias'],
  ['scale-input', 'low-rank-delta', 'low-rank-delta', 'scale-output', 'bias'],
];
const RANKS: readonly number[] = [1, 2, 5, 8, 16, 17, 31, 64, 67];
const LAYERS: readonly Layer[] = [
  { I: 1, O: 1 },
  { I: 31, O: 17 },
  { I: 64, O: 96 },
  { I: 577, O: 13 },
];

interface Batch {
  readonly label: string;
  readonly layer: Layer;
  readonly T: number;
  readonly spans: readonly ProgramSpan[];
}

/** Adapters of all ranks on spans of these lengths, with a row of the base before each. */
function batch(layer: Layer, kinds: readonly Kind[], lengths: readonly number[], name: string): Batch {
  let end = 0;
  const spans = lengths.map((length, n): ProgramSpan => {
    const begin = end + 1;
    end = begin + length;
    return { begin, end, program: program(layer, kinds, RANKS[n % RANKS.length], `${n} ${name}`) };
  });
  const label = `[${layer.O}, ${layer.I}] ${kinds.join(' ')}, ${lengths.join(' ')} rows of ${name}`;
  return { label, layer, T: Math.max(end, 1), spans };
}

const LENGTHS: readonly number[] = [1, 1, 2, 1, 7, 1, 19, 1, 1];
const batches: readonly Batch[] = [
  ...LAYERS.flatMap((layer) => KINDS.map((kinds) => batch(layer, kinds, LENGTHS, 'f32'))),
  ...LAYERS.map((layer) => batch(layer, ['low-rank-delta'], LENGTHS, 'bf16')),
  batch({ I: 64, O: 96 }, ['low-rank-delta'], Array<number>(64).fill(1), 'bf16'),
  batch({ I: 64, O: 96 }, KINDS[4], [133], 'f32'),
  batch({ I: 3, O: 5 }, KINDS[4], [], 'f32'),
];

interface Run {
  readonly layer: Layer;
  readonly spans: readonly ProgramSpan[];
  /** Rows of the batch's arrays that take part. */
  readonly from: number;
  readonly to: number;
}

function run(kernels: Kernels, arrays: Arrays, { layer: { I, O }, spans, from, to }: Run, whole: number): Outputs {
  const T = to - from;
  const part = (name: string, width: number): Floats =>
    arrays.input(random(whole * width, name).subarray(from * width, to * width));
  const [x, y] = [part('x', I), part('y', O)];
  const scaled = arrays.output(T * I);
  const rows = kernels.bindRows(spans);
  kernels.scaleInputs(scaled, x, rows, SLOT, T);
  kernels.applyRows(y, x, rows, SLOT, T);
  return { scaled, y };
}

const cases: readonly KernelCase[] = batches.map(({ label, layer, T, spans }) => ({
  label,
  tolerance: 'f32Kernel',
  compute: (kernels, arrays) => run(kernels, arrays, { layer, spans, from: 0, to: T }, T),
}));

const rowAlone: KernelCheck = {
  name: 'applyRows, scaleInputs: a row alone has the bits of the row among others, and a row of the base is left as it is',
  methods: ['bindRows', 'scaleInputs', 'applyRows'],
  run({ kernels }) {
    for (const { label, layer, T, spans } of batches) {
      const together = run(kernels, float32Arrays, { layer, spans, from: 0, to: T }, T);
      for (let t = 0; t < T; t++) {
        const span = spans.find(({ begin, end }) => begin <= t && t < end);
        const own = span ? [{ begin: 0, end: 1, program: span.program }] : [];
        const alone = run(kernels, float32Arrays, { layer, spans: own, from: t, to: t + 1 }, T);
        for (const [name, values] of Object.entries(together)) {
          const width = values.length / T;
          assertBitEqual(alone[name], values.slice(t * width, (t + 1) * width), `${label}: ${name} of row ${t}`);
        }
        if (span) continue;
        const before = Float32Array.from(random(T * layer.O, 'y').subarray(t * layer.O, (t + 1) * layer.O));
        assertBitEqual(alone['y'], before, `${label}: row ${t} of the base`);
      }
    }
  },
};

const sameAsGemm: KernelCheck = {
  name: 'applyRows: a delta has the bits of two products, as in training, so that it is one sum alone or in a batch',
  methods: ['applyRows', 'gemm'],
  run({ kernels }) {
    for (const { label, layer, T, spans } of batches) {
      const { I, O } = layer;
      const { y } = run(kernels, float32Arrays, { layer, spans, from: 0, to: T }, T);
      const [x, expected] = [Float32Array.from(random(T * I, 'x')), Float32Array.from(random(T * O, 'y'))];
      let isOnlyDeltas = true;
      for (const { begin, end, program: packed } of spans) {
        const rows = end - begin;
        for (const one of operationsAt(packed, SLOT)) {
          if (one.kind !== 'low-rank-delta') {
            isOnlyDeltas = false;
            continue;
          }
          const u = new Float32Array(rows * one.rank);
          const part = expected.subarray(begin * O, end * O);
          const shape = { M: rows, N: one.rank, K: I, transposeB: true };
          kernels.gemm(u, x.subarray(begin * I, end * I), one.a_RI, shape);
          const product = { M: rows, N: O, K: one.rank, transposeB: true, alpha: one.scale, accumulate: true };
          kernels.gemm(part, u, one.b_OR, product);
        }
      }
      if (isOnlyDeltas) assertBitEqual(y, expected, label);
    }
  },
};

const uses: KernelCheck = {
  name: 'bindRows: says which slots have operations before and after the layer',
  methods: ['bindRows'],
  run({ kernels }) {
    const layer = { I: 3, O: 5 };
    const before = program(layer, ['scale-input'], 1, 'before');
    const after = program(layer, ['bias'], 1, 'after');
    const both = (rows: BoundRows): boolean[] =>
      [0, SLOT - 1, SLOT, SLOT + 2].flatMap((slot) => [rows.isBefore(slot), rows.isAfter(slot)]);
    const bind = (...programs: RowProgram[]): boolean[] =>
      both(kernels.bindRows(programs.map((one, n) => ({ begin: n, end: n + 1, program: one }))));
    const [no, yes] = [false, true];
    assert.deepEqual(bind(), [no, no, no, no, no, no, no, no]);
    assert.deepEqual(bind(before), [yes, no, no, no, yes, no, no, no]);
    assert.deepEqual(bind(after), [no, yes, no, no, no, yes, no, no]);
    assert.deepEqual(bind(after, before), [yes, yes, no, no, yes, yes, no, no]);
  },
};

export const programChecks: readonly KernelCheck[] = [
  agreesWithReference(['bindRows', 'scaleInputs', 'applyRows'], cases),
  rowAlone,
  sameAsGemm,
  uses,
];
