/** The operations of adapters on their rows, span by span: T rows, I inputs, O outputs of a layer, R rank. */
import { assert } from '../../base/index.ts';
import type { BoundRows, Floats } from '../kernels.ts';
import { AFTER, BEFORE, operationsAt, usesOf, type ProgramSpan, type RowOperation } from '../row-program.ts';
import { requireLength } from './lengths.ts';

class ReferenceRows implements BoundRows {
  readonly spans: readonly ProgramSpan[];

  constructor(spans: readonly ProgramSpan[]) {
    this.spans = spans;
  }

  isBefore(slot: number): boolean {
    return this.spans.some(({ program }) => (usesOf(program, slot) & BEFORE) !== 0);
  }

  isAfter(slot: number): boolean {
    return this.spans.some(({ program }) => (usesOf(program, slot) & AFTER) !== 0);
  }
}

export function bindRows(spans: readonly ProgramSpan[]): BoundRows {
  let end = 0;
  for (const span of spans) {
    assert(span.begin >= end && span.end > span.begin, 'spans rise and share no row');
    end = span.end;
  }
  return new ReferenceRows(spans);
}

/** out = x, times the factors of rows that have any. */
export function scaleInputs(out_TI: Floats, x_TI: Floats, rows: BoundRows, slot: number, T: number): void {
  requireLength('out', out_TI, x_TI.length);
  const I = x_TI.length / T;
  out_TI.set(x_TI);
  forEachOperation(rows, slot, T, (t, operation) => {
    if (operation.kind !== 'scale-input') return;
    requireLength('factor', operation.factor_I, I);
    for (let i = 0; i < I; i++) out_TI[t * I + i] *= operation.factor_I[i];
  });
}

/** What comes after the layer, to y in place. */
export function applyRows(y_TO: Floats, x_TI: Floats, rows: BoundRows, slot: number, T: number): void {
  const [I, O] = [x_TI.length / T, y_TO.length / T];
  forEachOperation(rows, slot, T, (t, operation) => {
    const y_O = y_TO.subarray(t * O, (t + 1) * O);
    switch (operation.kind) {
      case 'scale-input':
        return;
      case 'low-rank-delta':
        return addDelta(y_O, x_TI.subarray(t * I, (t + 1) * I), operation);
      case 'scale-output':
        requireLength('factor', operation.factor_O, O);
        for (let o = 0; o < O; o++) y_O[o] *= operation.factor_O[o];
        return;
      case 'bias':
        requireLength('bias', operation.bias_O, O);
        for (let o = 0; o < O; o++) y_O[o] += operation.bias_O[o];
        return;
      default:
        operation satisfies never;
    }
  });
}

function addDelta(y_O: Floats, x_I: Floats, operation: RowOperation & { readonly kind: 'low-rank-delta' }): void {
  const { a_RI, b_OR, rank, scale } = operation;
  const [I, O] = [x_I.length, y_O.length];
  requireLength('A', a_RI, rank * I);
  requireLength('B', b_OR, O * rank);
  const u_R = Float64Array.from({ length: rank }, (_, r) => {
    let sum = 0;
    for (let i = 0; i < I; i++) sum += a_RI[r * I + i] * x_I[i];
    return sum;
  });
  for (let o = 0; o < O; o++) {
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += u_R[r] * b_OR[o * rank + r];
    y_O[o] += scale * sum;
  }
}

function forEachOperation(
  rows: BoundRows,
  slot: number,
  T: number,
  visit: (t: number, operation: RowOperation) => void,
): void {
  assert(rows instanceof ReferenceRows, 'bound rows go to the kernel set that bound them');
  for (const { begin, end, program } of rows.spans) {
    assert(end <= T, `rows ${begin}..${end} are in a batch of ${T}`);
    const operations = operationsAt(program, slot);
    for (let t = begin; t < end; t++) for (const operation of operations) visit(t, operation);
  }
}
