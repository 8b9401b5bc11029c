import { assert } from '../base/index.ts';
import { RECORD_FIELDS, SLOT_FIELDS, type PackingOptions, type RowProgram } from './row-program.ts';

/** A program and what its sums are multiplied by. */
export interface WeightedProgram {
  readonly program: RowProgram;
  readonly weight: number;
}

const [SLOT, KIND, OUT, LINE] = [0, 1, 5, 6];
const ALIGNMENT = 64;
/** The kinds that are sums, by their numbers in a record. */
const [LOW_RANK_DELTA, BIAS] = [1, 3];

/** Whether all that a program does is added to the layer's output. */
export function isAdditive({ records }: RowProgram): boolean {
  for (let i = KIND; i < records.length; i += RECORD_FIELDS) {
    if (records[i] !== LOW_RANK_DELTA && records[i] !== BIAS) return false;
  }
  return true;
}

/**
 * One program that adds the weighted sums of several, at each layer in the order in which they are given. Copies their bytes: a
 * millisecond for two small adapters, a hundred for large ones.
 * @param parts each is {@link isAdditive}
 * @param allocate makes the program's memory: at least as many bytes as are asked for
 */
export function mixRowPrograms(
  parts: readonly WeightedProgram[],
  allocate: NonNullable<PackingOptions['allocate']> = (sizeBytes) => new SharedArrayBuffer(sizeBytes),
): RowProgram {
  const sizes = parts.map(({ program }) => program.bytes.byteLength);
  const sizeBytes = sizes.reduce((sum, size) => sum + size, 0);
  const bytes = new Uint8Array(allocate(sizeBytes), 0, sizeBytes);
  const slots = new Int32Array(Math.max(0, ...parts.map(({ program }) => program.slots.length)));
  const operations: { readonly record: Int32Array; readonly scale: number }[] = [];
  let begin = 0;
  for (const [part, { program, weight }] of parts.entries()) {
    assert(isAdditive(program) && sizes[part] % ALIGNMENT === 0, 'only sums can be mixed');
    bytes.set(program.bytes, begin);
    for (const [i, scale] of program.scales.entries()) {
      const record = program.records.slice(i * RECORD_FIELDS, (i + 1) * RECORD_FIELDS);
      record[LINE] += begin / ALIGNMENT;
      const isBias = record[KIND] === BIAS;
      if (isBias) multiply(new Float32Array(bytes.buffer, record[LINE] * ALIGNMENT, record[OUT]), weight);
      operations.push({ record, scale: isBias ? scale : scale * weight });
    }
    for (let slot = 0; slot < program.slots.length; slot += SLOT_FIELDS) {
      const [inputs, out, uses] = program.slots.subarray(slot, slot + SLOT_FIELDS);
      if (uses !== 0) slots.set([inputs, out, uses | slots[slot + SLOT_FIELDS - 1]], slot);
    }
    begin += sizes[part];
  }
  // Stable: at one layer the parts keep their order.
  const rising = operations.toSorted((a, b) => a.record[SLOT] - b.record[SLOT]);
  return {
    bytes,
    records: Int32Array.from(rising.flatMap(({ record }) => [...record])),
    scales: Float64Array.from(rising, ({ scale }) => scale),
    slots,
  };
}

function multiply(values: Float32Array, factor: number): void {
  for (let i = 0; i < values.length; i++) values[i] *= factor;
}
