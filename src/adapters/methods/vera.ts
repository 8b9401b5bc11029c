import { tensorName, VERA_A, VERA_B, type VeraConfig } from '../../formats/index.ts';
import { addInPlace, denseLinear, dropout, multiplyColumns, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, scaleRows } from '../dense.ts';
import { requireTensor, tensorAt, type ParameterSpec, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { fillUniform } from './initial-values.ts';

/**
 * VeRA (Kopiczko et al., 2024): y = W·x + λ_b ⊙ (B·(λ_d ⊙ (A·x))). A and B are random, frozen and one pair for all modules: a module uses
 * the first columns of A and the first rows of B. They stay shared in memory.
 */
export const vera: TrainableMethod<VeraConfig> = {
  name: 'vera',
  peftType: 'VERA',

  parameters(config, sites) {
    const targets = resolveTargets(config, sites);
    const shared: ParameterSpec[] = [
      { name: VERA_A, shape: [config.r, Math.max(...targets.map((site) => site.in))], isFrozen: true },
      { name: VERA_B, shape: [Math.max(...targets.map((site) => site.out)), config.r], isFrozen: true },
    ];
    return shared.concat(
      targets.flatMap((site) => [
        { name: tensorName(site.path, 'vera_lambda_b'), shape: [site.out] },
        { name: tensorName(site.path, 'vera_lambda_d'), shape: [config.r] },
      ]),
    );
  },

  /**
   * λ_b is zero and λ_d is `d_initial`. A and B are Kaiming-uniform (He et al., 2015) with PEFT's gain sqrt(2), from our generator and not
   * PyTorch's: that is why they are saved with the adapter.
   */
  initialise(config, { name, shape }, values, rng) {
    if (name === VERA_A || name === VERA_B) fillUniform(values, Math.sqrt(6 / shape[1]), rng);
    else values.fill(name.endsWith('vera_lambda_d') ? config.d_initial : 0);
  },

  bind(config, base, tensors, { dropoutRng }) {
    const [a, b] = [requireTensor(tensors, VERA_A), requireTensor(tensors, VERA_B)];
    const targets = resolveTargets(config, base.sites);
    const bound = new Set(targets.map(({ path }) => path));
    // The shared matrices are frozen: their first columns can be taken once.
    const slicesOfA = new Map(
      [...new Set(targets.map((site) => site.in))].map((width) => [width, firstColumns(a, width)]),
    );
    return {
      linear(g, site, x, layer) {
        const y = layer(x);
        const a_RI = slicesOfA.get(site.in);
        if (!bound.has(site.path) || !a_RI) return y;
        const input = dropoutRng ? dropout(g, x, config.vera_dropout, dropoutRng) : x;
        const inner = multiplyColumns(g, denseLinear(g, input, a_RI), tensorAt(tensors, site, 'vera_lambda_d'));
        const b_OR = { shape: [site.out, config.r], data: b.data.subarray(0, site.out * config.r) };
        addInPlace(g, y, multiplyColumns(g, denseLinear(g, inner, b_OR), tensorAt(tensors, site, 'vera_lambda_b')));
        return y;
      },
    };
  },

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
