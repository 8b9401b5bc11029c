import { siteIndex, type BaseModel } from '../model/index.ts';
import { packRowProgram, type RowOperation, type SlotOperations } from '../numeric/index.ts';
import type { CompiledAdapter, RowPrimitive } from './primitives.ts';

/** What of a base decides how its adapters are packed. */
export type PackingBase = Pick<BaseModel, 'sites' | 'computeDtype'>;

/**
 * The adapter in the form that is fastest to serve: the primitives of every site whose kinds the kernels know are moved into one
 * {@link RowProgram}, in shared memory. On a base that computes in float32 the answers keep their bits; on any other the numbers of low-rank deltas are rounded
 * to bfloat16, as its activations are (docs/decisions/0017). A matter of milliseconds for a small adapter: for the thread that loads, not for a step.
 * @param allocate makes the shared memory; see {@link packRowProgram}
 */
export function packAdapter(
  adapter: CompiledAdapter,
  base: PackingBase,
  allocate?: (sizeBytes: number) => SharedArrayBuffer,
): CompiledAdapter {
  const left = new Map(adapter.sites);
  const slots = base.sites.flatMap((site): SlotOperations[] => {
    const operations = left.get(site.path)?.map(operationOf);
    if (!operations?.every((operation) => operation !== undefined)) return [];
    left.delete(site.path);
    return [{ slot: siteIndex(site), in: site.in, out: site.out, operations }];
  });
  if (slots.length === 0) return adapter;
  const deltas = base.computeDtype === 'f32' ? 'exact' : 'bf16';
  const program = packRowProgram(slots, { deltas, ...(allocate && { allocate }) });
  const moved = new Set(slots.flatMap(({ operations }) => operations.flatMap(arraysOf)));
  const movedBytes = [...moved].reduce((sum, { byteLength }) => sum + byteLength, 0);
  return { ...adapter, sites: left, program, sizeBytes: adapter.sizeBytes - movedBytes + program.bytes.byteLength };
}

/** The primitive as an operation of a program; undefined for kinds that are applied span by span. */
function operationOf(primitive: RowPrimitive): RowOperation | undefined {
  switch (primitive.kind) {
    case 'scale-input':
      return { kind: 'scale-input', factor_I: primitive.factor_I.data };
    case 'low-rank-delta': {
      const { a_RI, b_OR, scale } = primitive;
      return { kind: 'low-rank-delta', a_RI: a_RI.data, b_OR: b_OR.data, rank: a_RI.shape[0], scale };
    }
    case 'scale-output':
      return { kind: 'scale-output', factor_O: primitive.factor_O.data };
    case 'bias':
      return { kind: 'bias', bias_O: primitive.bias_O.data };
    default:
      return undefined;
  }
}

function arraysOf(operation: RowOperation): ArrayBufferView[] {
  return Object.values(operation).filter((value) => ArrayBuffer.isView(value));
}
