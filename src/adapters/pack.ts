import { siteIndex, type LinearSite } from '../model/index.ts';
import { packRowProgram, type RowOperation, type SlotOperations } from '../numeric/index.ts';
import type { CompiledAdapter, RowPrimitive } from './primitives.ts';

/**
 * The adapter in the form that is fastest to serve: the primitives of every site whose kinds the kernels know are moved into one
 * {@link RowProgram}, in shared memory. The answers keep their bits. A matter of milliseconds for a small adapter: for the thread that
 * loads, not for a step.
 * @param allocate makes the shared memory; see {@link packRowProgram}
 */
export function packAdapter(
  adapter: CompiledAdapter,
  sites: readonly LinearSite[],
  allocate?: (sizeBytes: number) => SharedArrayBuffer,
): CompiledAdapter {
  const left = new Map(adapter.sites);
  const slots = sites.flatMap((site): SlotOperations[] => {
    const operations = left.get(site.path)?.map(operationOf);
    if (!operations?.every((operation) => operation !== undefined)) return [];
    left.delete(site.path);
    return [{ slot: siteIndex(site), in: site.in, out: site.out, operations }];
  });
  if (slots.length === 0) return adapter;
  const program = packRowProgram(slots, allocate);
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
