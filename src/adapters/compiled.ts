import type { Tensor } from '../numeric/index.ts';
import type { CompiledAdapter, HeadPart, RowPrimitive } from './primitives.ts';

/** An adapter of these parts, with the bytes that they hold: what several sites share counts once. */
export function assembleAdapter(parts: Omit<CompiledAdapter, 'sizeBytes'>): CompiledAdapter {
  const buffers = new Set<ArrayBufferLike>();
  for (const { data } of adapterTensors(parts)) buffers.add(data.buffer);
  let sizeBytes = 0;
  for (const buffer of buffers) sizeBytes += buffer.byteLength;
  return { ...parts, sizeBytes };
}

/** Every tensor of an adapter; one that several sites share comes once for each. */
export function adapterTensors(parts: Omit<CompiledAdapter, 'sizeBytes'>): Tensor[] {
  const { sites, virtual, tokenRows, norms, embedding, head } = parts;
  const tensors = [...sites.values()].flat().flatMap(primitiveTensors);
  if (virtual?.kind === 'embeddings') tensors.push(virtual.embeddings_ND);
  if (virtual?.kind === 'key-values') tensors.push(virtual.keys_LNK, virtual.values_LNK);
  if (tokenRows) tensors.push(tokenRows.rows_KD);
  if (norms) tensors.push(...norms.values());
  if (embedding)
    tensors.push(...(embedding.kind === 'table' ? [embedding.table_VD] : [embedding.a_VR, embedding.b_DR]));
  if (head) tensors.push(...headTensors(head));
  return tensors;
}

function headTensors(head: HeadPart): readonly Tensor[] {
  switch (head.kind) {
    case 'table':
      return [head.table_VD];
    case 'low-rank':
      return [head.a_RD, head.b_VR];
    case 'classes':
      return [head.score_CD];
    default:
      return head satisfies never;
  }
}

function primitiveTensors(primitive: RowPrimitive): readonly Tensor[] {
  switch (primitive.kind) {
    case 'scale-input':
      return [primitive.factor_I];
    case 'block-rotation':
      return [primitive.blocks_NBB];
    case 'low-rank-delta':
      return [primitive.a_RI, primitive.b_OR];
    case 'scaled-low-rank-delta':
      return [primitive.a_RI, primitive.b_OR, primitive.inner_R, primitive.outer_O];
    case 'kronecker-delta':
      return [primitive.left_AC, ...primitive.right];
    case 'scale-output':
      return [primitive.factor_O];
    case 'bias':
      return [primitive.bias_O];
    default:
      return primitive satisfies never;
  }
}
