/** Whether an adapter does anything: one that does not is a mistake of whoever made it, and answers like the base without saying so. */
import { normGain, normSites, type BaseModel } from '../../model/index.ts';
import type { Tensor } from '../../numeric/index.ts';
import type { CompiledAdapter, RowPrimitive } from '../primitives.ts';

/** Factors nearer to 1 than rounding are 1: DoRA's are a quotient of two norms, which two programs round in different ways. */
const ONE = 1e-5;

/** The targeted modules whose part of the adapter changes nothing, by their paths, in the base's order. */
export function inertModules({ sites }: CompiledAdapter): string[] {
  return [...sites].flatMap(([path, primitives]) => (primitives.some(hasEffect) ? [] : [path]));
}

/** What an adapter has beside modules that changes nothing on this base, described. */
export function inertParts({ virtual, tokenRows, norms, embedding, head }: CompiledAdapter, base: BaseModel): string[] {
  const parts: string[] = [];
  // Keys and values of zeros do change attention, which shares its weight with them.
  if (virtual?.kind === 'embeddings' && isZero(virtual.embeddings_ND)) parts.push('the virtual tokens are zeros');
  if (tokenRows && isZero(tokenRows.rows_KD)) parts.push('the rows of the trained tokens are zeros');
  if (norms && isBaseGains(norms, base)) parts.push('the gains of the trained norms are those of the base');
  if (embedding?.kind === 'low-rank' && !isProductNonZero(embedding.b_DR, turned(embedding.a_VR))) {
    parts.push('the update of the embedding is zero');
  }
  if (head?.kind === 'low-rank' && !isProductNonZero(head.b_VR, head.a_RD))
    parts.push('the update of the head is zero');
  if (head?.kind === 'classes' && isZero(head.score_CD)) parts.push('the head of the labels is zero');
  return parts;
}

function isBaseGains(norms: ReadonlyMap<string, Tensor>, base: BaseModel): boolean {
  return normSites(base.config).every((site) => {
    const own = norms.get(site.path)?.data;
    const { data } = normGain(base, site);
    return own === undefined || own.every((value, i) => value === data[i]);
  });
}

function hasEffect(primitive: RowPrimitive): boolean {
  switch (primitive.kind) {
    case 'scale-input':
      return isNotOne(primitive.factor_I);
    case 'scale-output':
      return isNotOne(primitive.factor_O);
    case 'bias':
      return !isZero(primitive.bias_O);
    case 'low-rank-delta':
      return primitive.scale !== 0 && isProductNonZero(primitive.b_OR, primitive.a_RI);
    case 'scaled-low-rank-delta': {
      const { a_RI, b_OR, inner_R, outer_O } = primitive;
      return !isZero(inner_R) && !isZero(outer_O) && isProductNonZero(b_OR, a_RI);
    }
    case 'kronecker-delta': {
      const [outer, inner] = primitive.right;
      const isRightNonZero = inner ? isProductNonZero(outer, inner) : !isZero(outer);
      return primitive.scale !== 0 && !isZero(primitive.left_AC) && isRightNonZero;
    }
    case 'block-rotation':
      return !isIdentity(primitive.blocks_NBB);
    default:
      return primitive satisfies never;
  }
}

function isZero({ data }: Tensor): boolean {
  for (const value of data) if (value !== 0) return false;
  return true;
}

function isNotOne({ data }: Tensor): boolean {
  for (const value of data) if (Math.abs(value - 1) > ONE) return true;
  return false;
}

/** Some column of B and the same row of A are both non-zero. Terms that cancel to exact zeros do not happen by themselves. */
function isProductNonZero(b_OR: Tensor, a_RI: Tensor): boolean {
  const [R, I] = a_RI.shape as [number, number];
  for (let r = 0; r < R; r++) {
    let isRowZero = true;
    for (let i = 0; i < I && isRowZero; i++) isRowZero = a_RI.data[r * I + i] === 0;
    if (isRowZero) continue;
    for (let i = r; i < b_OR.data.length; i += R) if (b_OR.data[i] !== 0) return true;
  }
  return false;
}

/** Its transpose. */
function turned({ shape: [V, R], data }: Tensor): Tensor {
  const rows = data.slice();
  for (let v = 0; v < V; v++) for (let r = 0; r < R; r++) rows[r * V + v] = data[v * R + r];
  return { shape: [R, V], data: rows };
}

function isIdentity({ shape, data }: Tensor): boolean {
  const B = shape[1];
  for (let i = 0; i < data.length; i++) {
    if (data[i] !== ((i % (B * B)) % (B + 1) === 0 ? 1 : 0)) return false;
  }
  return true;
}
