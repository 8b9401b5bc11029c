import { fail } from '../../base/index.ts';
import type { BaseModel, LinearSite } from '../../model/index.ts';
import type { Floats, Tensor } from '../../numeric/index.ts';
import { compileAdapter, type Adapter } from '../artefact.ts';
import { scaleRows, zerosLike } from '../dense.ts';
import type { CompiledAdapter, RowPrimitive } from '../primitives.ts';
import { mergedLinear } from '../proof/merge.ts';

/** What is added to the weights of a layer: a product b_OR · a_RI with its scale in b, or a matrix of any rank. */
export type WeightDelta =
  | { readonly kind: 'product'; readonly b_OR: Tensor; readonly a_RI: Tensor }
  | { readonly kind: 'dense'; readonly delta_OI: Tensor };

/** How an adapter changes a linear layer: W' − W and b' − b. */
export interface SiteDelta {
  readonly site: LinearSite;
  readonly weight: WeightDelta;
  /** Undefined when the bias stays as it is. */
  readonly bias_O: Floats | undefined;
}

/** An adapter that changes nothing but linear layers, which can then be said as sums. */
export interface LinearAdapter {
  readonly adapter: Adapter;
  /** By site path: the sites that it changes. */
  delta(site: LinearSite): SiteDelta | undefined;
}

/**
 * An adapter as what it adds to the layers of `base`. Methods that add a product (LoRA, VeRA, LoHa of a low rank) give its factors; for all
 * others (DoRA, IA3, LoKr, OFT…) the delta is the difference to the merged layer, and depends on the base as it is held.
 * @throws ADAPTER_INVALID when it changes anything else: virtual tokens, trained tokens
 */
export function linearAdapter(adapter: Adapter, base: BaseModel, what: string): LinearAdapter {
  const compiled = compileAdapter(adapter, base);
  refuseOthers(compiled, what);
  return {
    adapter,
    delta(site) {
      const primitives = compiled.sites.get(site.path);
      return primitives && (deltaOfSum(site, primitives) ?? differenceToMerged(adapter, base, site));
    },
  };
}

function refuseOthers(compiled: CompiledAdapter, what: string): void {
  const other = nonLinearPart(compiled);
  if (other === undefined) return;
  fail('ADAPTER_INVALID', `${what} has ${other}, which a sum of linear layers' changes cannot say`, {
    param: 'adapter',
  });
}

/** What of an adapter is no change of a linear layer of a block, described; undefined when there is nothing. */
export function nonLinearPart({ virtual, tokenRows, norms, embedding, head }: CompiledAdapter): string | undefined {
  const parts = {
    'virtual tokens': virtual,
    'trained tokens': tokenRows,
    'norms of its own': norms,
    'a change of the embedding': embedding,
    'a change of the head': head,
  };
  return Object.entries(parts).find(([, part]) => part !== undefined)?.[0];
}

/** The delta of primitives that only add low-rank products and biases; undefined when there are others. */
function deltaOfSum(site: LinearSite, primitives: readonly RowPrimitive[]): SiteDelta | undefined {
  const products: { b_OR: Tensor; a_RI: Tensor }[] = [];
  let bias_O: Floats | undefined;
  for (const primitive of primitives) {
    switch (primitive.kind) {
      case 'low-rank-delta':
        products.push({ b_OR: scaled(primitive.b_OR, primitive.scale), a_RI: primitive.a_RI });
        break;
      case 'scaled-low-rank-delta': {
        const { shape, data } = primitive.a_RI;
        const a_RI = { shape, data: data.slice() };
        scaleRows(a_RI.data, primitive.inner_R.data);
        const b_OR = { shape: primitive.b_OR.shape, data: primitive.b_OR.data.slice() };
        scaleRows(b_OR.data, primitive.outer_O.data);
        products.push({ b_OR, a_RI });
        break;
      }
      case 'bias': {
        const before: Floats = bias_O ?? zerosLike(primitive.bias_O.data, site.out);
        bias_O = before.map((value, o) => value + primitive.bias_O.data[o]);
        break;
      }
      default:
        return undefined;
    }
  }
  if (products.length === 0) {
    if (!bias_O) return undefined;
    // A bias alone: a product of zeros.
    const [b, a] = [zerosLike(bias_O, site.out), zerosLike(bias_O, site.in)];
    products.push({ b_OR: { shape: [site.out, 1], data: b }, a_RI: { shape: [1, site.in], data: a } });
  }
  return { site, weight: { kind: 'product', ...sideBySide(products) }, bias_O };
}

function differenceToMerged(adapter: Adapter, base: BaseModel, site: LinearSite): SiteDelta {
  const merged = mergedLinear(adapter, base, site);
  const { weight, bias } = base.layers[site.layer].linear[site.role];
  const before = base.kernels.thaw(weight);
  const data = merged.weight_OI.map((value, i) => value - before[i]);
  const bias_O = merged.bias_O.map((value, o) => value - (bias?.data[o] ?? 0));
  const delta_OI = { shape: [site.out, site.in], data };
  return {
    site,
    weight: { kind: 'dense', delta_OI },
    bias_O: bias_O.some((value) => value !== 0) ? bias_O : undefined,
  };
}

/** Σ b_n · a_n as one product: the factors side by side. */
export function sideBySide(products: readonly { readonly b_OR: Tensor; readonly a_RI: Tensor }[]): {
  readonly b_OR: Tensor;
  readonly a_RI: Tensor;
} {
  const [first] = products;
  if (products.length === 1) return first;
  const [O, I] = [first.b_OR.shape[0], first.a_RI.shape[1]];
  const rank = products.reduce((sum, { a_RI }) => sum + a_RI.shape[0], 0);
  const [b, a] = [zerosLike(first.b_OR.data, O * rank), zerosLike(first.a_RI.data, rank * I)];
  let begin = 0;
  for (const { b_OR, a_RI } of products) {
    const R = a_RI.shape[0];
    a.set(a_RI.data, begin * I);
    for (let o = 0; o < O; o++) b.set(b_OR.data.subarray(o * R, (o + 1) * R), o * rank + begin);
    begin += R;
  }
  return { b_OR: { shape: [O, rank], data: b }, a_RI: { shape: [rank, I], data: a } };
}

export function scaled({ shape, data }: Tensor, factor: number): Tensor {
  return { shape, data: data.map((value) => value * factor) };
}

/** The matrix that a delta stands for, [O, I], in float64. */
export function denseDelta(weight: WeightDelta): Float64Array {
  if (weight.kind === 'dense') return Float64Array.from(weight.delta_OI.data);
  const { b_OR, a_RI } = weight;
  const [O, R] = b_OR.shape as [number, number];
  const I = a_RI.shape[1];
  const delta = new Float64Array(O * I);
  for (let o = 0; o < O; o++) {
    for (let r = 0; r < R; r++) {
      const factor = b_OR.data[o * R + r];
      if (factor === 0) continue;
      for (let i = 0; i < I; i++) delta[o * I + i] += factor * a_RI.data[r * I + i];
    }
  }
  return delta;
}
