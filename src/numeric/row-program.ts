import { broken } from '../base/index.ts';
import { DELTA_FORMATS, deltaBytes, layOutDelta, readDelta, type DeltaFormat } from './delta-layout.ts';
import type { Floats } from './kernels.ts';

/**
 * What the rows of one adapter do at a linear layer [I] -> [O]. `scale-input` happens before the layer; the others happen after it, in
 * their order, to the layer's output: y += scale · (x · Aᵀ) · Bᵀ with the layer's own input x; y = y · factor; y = y + bias.
 */
export type RowOperation =
  | { readonly kind: 'scale-input'; readonly factor_I: Floats }
  | {
      readonly kind: 'low-rank-delta';
      readonly a_RI: Floats;
      readonly b_OR: Floats;
      readonly rank: number;
      readonly scale: number;
    }
  | { readonly kind: 'scale-output'; readonly factor_O: Floats }
  | { readonly kind: 'bias'; readonly bias_O: Floats };

/** The operations at one layer. `slot` numbers the layers of a model: programs that share a batch agree on the numbers. */
export interface SlotOperations {
  readonly slot: number;
  readonly in: number;
  readonly out: number;
  readonly operations: readonly RowOperation[];
}

/**
 * The operations of one adapter at all layers, packed for kernels that read them once a step. Plain data: threads share `bytes`, so that
 * an adapter is packed on one thread and used on another without a copy. Never written again.
 *
 * Every operation's codes begin at a multiple of 64 bytes. A factor or a bias is float32, as it is. A low-rank delta is laid out by
 * delta-layout.ts; its codes are bfloat16 where every number of A and B is one, else float32: exact either way. 64 bytes follow the last
 * operation, so that sixteen codes can be read from anywhere.
 */
export interface RowProgram {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** [numOperations, {@link RECORD_FIELDS}]: slot (rising), kind, format, rank, in, out, first byte / 64. */
  readonly records: Int32Array;
  /** [numOperations]: the scale of a low-rank delta, else 1. */
  readonly scales: Float64Array;
  /** [numSlots, 3]: in, out, and which of {@link BEFORE} and {@link AFTER} there is; zeros where there is nothing. */
  readonly slots: Int32Array;
}

/** Rows begin..end of a batch follow a program. */
export interface ProgramSpan {
  readonly begin: number;
  readonly end: number;
  readonly program: RowProgram;
}

export const RECORD_FIELDS = 7;
export const SLOT_FIELDS = 3;
/** Flags of a slot: it has operations before the layer, after it. */
export const BEFORE = 1;
export const AFTER = 2;

/** In the order of their numbers in a record. */
const KINDS = ['scale-input', 'low-rank-delta', 'scale-output', 'bias'] as const;
const ALIGNMENT = 64;

/** An operation's numbers as float32, before they are laid out. */
interface Planned {
  readonly site: SlotOperations;
  readonly operation: RowOperation;
  readonly numbers: readonly Float32Array[];
  readonly format: DeltaFormat;
  readonly byteOffset: number;
}

export interface PackingOptions {
  /** Whether the numbers of low-rank deltas are rounded to bfloat16 (nearest even), or take half a float only where they lose nothing. */
  readonly deltas?: 'exact' | 'bf16';
  /** Makes the program's memory: zeros, at least as many bytes as are asked for. */
  readonly allocate?: (sizeBytes: number) => SharedArrayBuffer;
}

/** Packs the operations of the given layers, each of which is named once. Numbers are rounded to float32. */
export function packRowProgram(
  sites: readonly SlotOperations[],
  { deltas = 'exact', allocate = (sizeBytes) => new SharedArrayBuffer(sizeBytes) }: PackingOptions = {},
): RowProgram {
  const rising = sites.toSorted((a, b) => a.slot - b.slot);
  const slots = new Int32Array(((rising.at(-1)?.slot ?? -1) + 1) * SLOT_FIELDS);
  const named = new Set<number>();
  const planned: Planned[] = [];
  let end = 0;
  for (const site of rising) {
    if (named.has(site.slot)) broken(`slot ${site.slot} is named twice`);
    named.add(site.slot);
    let uses = 0;
    for (const operation of site.operations) {
      const numbers = numbersOf(site, operation);
      const isHalf = operation.kind === 'low-rank-delta' && (deltas === 'bf16' || numbers.every(isBf16));
      const format = isHalf ? 'bf16' : 'f32';
      uses |= operation.kind === 'scale-input' ? BEFORE : AFTER;
      planned.push({ site, operation, numbers, format, byteOffset: end });
      const sizeBytes =
        operation.kind === 'low-rank-delta'
          ? deltaBytes({ rank: operation.rank, in: site.in, out: site.out, format })
          : Float32Array.BYTES_PER_ELEMENT * numbers[0].length;
      end += Math.ceil(sizeBytes / ALIGNMENT) * ALIGNMENT;
    }
    slots.set([site.in, site.out, uses], site.slot * SLOT_FIELDS);
  }
  const bytes = new Uint8Array(allocate(end + ALIGNMENT), 0, end + ALIGNMENT);
  for (const one of planned) layOut(one, bytes.buffer);
  return {
    bytes,
    records: Int32Array.from(
      planned.flatMap(({ site, operation, format, byteOffset }) => {
        const rank = operation.kind === 'low-rank-delta' ? operation.rank : 0;
        const [kind, code] = [KINDS.indexOf(operation.kind), DELTA_FORMATS.indexOf(format)];
        return [site.slot, kind, code, rank, site.in, site.out, byteOffset / ALIGNMENT];
      }),
    ),
    scales: Float64Array.from(planned, ({ operation }) => ('scale' in operation ? operation.scale : 1)),
    slots,
  };
}

/** The operations that were packed for a slot, in their order. */
export function operationsAt({ bytes, records, scales }: RowProgram, slot: number): RowOperation[] {
  const operations: RowOperation[] = [];
  for (const [i, scale] of scales.entries()) {
    const record = records.subarray(i * RECORD_FIELDS, (i + 1) * RECORD_FIELDS);
    const [at, kind, format, rank, I, O, line] = record;
    if (at !== slot) continue;
    const floats = (length: number): Float32Array =>
      Float32Array.from(new Float32Array(bytes.buffer, line * ALIGNMENT, length));
    switch (KINDS[kind]) {
      case 'scale-input':
        operations.push({ kind: 'scale-input', factor_I: floats(I) });
        break;
      case 'scale-output':
        operations.push({ kind: 'scale-output', factor_O: floats(O) });
        break;
      case 'bias':
        operations.push({ kind: 'bias', bias_O: floats(O) });
        break;
      case 'low-rank-delta': {
        const delta = readDelta(bytes.buffer, line * ALIGNMENT, { rank, in: I, out: O, format: DELTA_FORMATS[format] });
        operations.push({ kind: 'low-rank-delta', ...delta, rank, scale });
      }
    }
  }
  return operations;
}

/** Whether a program has operations at a slot: {@link BEFORE} and {@link AFTER}, or 0. */
export function usesOf({ slots }: RowProgram, slot: number): number {
  return slots[slot * SLOT_FIELDS + 2] ?? 0;
}

function numbersOf({ slot, in: I, out: O }: SlotOperations, operation: RowOperation): Float32Array[] {
  const checked = (name: string, values: Floats, length: number): Float32Array => {
    if (values.length !== length) broken(`${name} of slot ${slot} has ${values.length} numbers, expected ${length}`);
    return values instanceof Float32Array ? values : Float32Array.from(values);
  };
  switch (operation.kind) {
    case 'scale-input':
      return [checked('the factor', operation.factor_I, I)];
    case 'scale-output':
      return [checked('the factor', operation.factor_O, O)];
    case 'bias':
      return [checked('the bias', operation.bias_O, O)];
    case 'low-rank-delta': {
      const { a_RI, b_OR, rank, scale } = operation;
      if (rank <= 0 || !Number.isFinite(scale)) broken(`the delta of slot ${slot} has rank ${rank} and scale ${scale}`);
      return [checked('A', a_RI, rank * I), checked('B', b_OR, O * rank)];
    }
  }
}

function bitsOf(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

function isBf16(values: Float32Array): boolean {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0xffff) !== 0) return false;
  return true;
}

/** Writes an operation's codes. */
function layOut({ site, operation, numbers, format, byteOffset }: Planned, buffer: SharedArrayBuffer): void {
  if (operation.kind !== 'low-rank-delta') {
    new Float32Array(buffer, byteOffset).set(numbers[0]);
    return;
  }
  const [a_RI, b_OR] = numbers;
  const shape = { rank: operation.rank, in: site.in, out: site.out, format };
  layOutDelta(buffer, byteOffset, shape, bitsOf(a_RI), bitsOf(b_OR));
}
