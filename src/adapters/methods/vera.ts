import { VERA_A, VERA_B, type VeraConfig } from '../../formats/index.ts';
import type { Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, scaleRows } from '../dense.ts';
import { requireTensor, tensorAt, type Method } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';

/**
 * VeRA (Kopiczko et al., 2024): y = W·x + λ_b ⊙ (B·(λ_d ⊙ (A·x))). A and B are random, frozen and one pair for all modules: a module uses
 * the first columns of A and the first rows of B. They stay shared in memory.
 */
export const vera: Method<VeraConfig> = {
  name: 'vera',
  peftType: 'VERA',

  compile(config, base, tensors) {
    const a = requireTensor(tensors, VERA_A);
    const b = requireTensor(tensors, VERA_B);
    const slicesOfA = new Map<number, Tensor>();
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const a_RI = slicesOfA.get(site.in) ?? firstColumns(a, site.in);
      slicesOfA.set(site.in, a_RI);
      const b_OR = { shape: [site.out, config.r], data: b.data.subarray(0, site.out * config.r) };
      const inner_R = tensorAt(tensors, site, 'vera_lambda_d');
      const outer_O = tensorAt(tensors, site, 'vera_lambda_b');
      sites.set(site.path, [{ kind: 'scaled-low-rank-delta', a_RI, b_OR, inner_R, outer_O }]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const a = firstColumns(requireTensor(tensors, VERA_A), site.in);
    const scaledA = { shape: a.shape, data: a.data.slice() };
    scaleRows(scaledA.data, tensorAt(tensors, site, 'vera_lambda_d').data);
    const b = requireTensor(tensors, VERA_B).data.slice(0, site.out * config.r);
    scaleRows(b, tensorAt(tensors, site, 'vera_lambda_b').data);
    addProduct(kernels, weight_OI, { shape: [site.out, config.r], data: b }, scaledA, 1);
  },
};

/** The first `width` columns of a matrix; the matrix itself when it has no more. */
function firstColumns(matrix: Tensor, width: number): Tensor {
  const [numRows, numColumns] = matrix.shape as [number, number];
  if (numColumns === width) return matrix;
  const data = matrix.data.slice(0, numRows * width);
  for (let row = 0; row < numRows; row++) {
    data.set(matrix.data.subarray(row * numColumns, row * numColumns + width), row * width);
  }
  return { shape: [numRows, width], data };
}
