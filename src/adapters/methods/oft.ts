import { oftBlocks, tensorName, type OftConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { multiplyBlocks, type Kernels, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { zerosLike } from '../dense.ts';
import { tensorAt, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { cayley, cayleyNeumann, constrain, skewSymmetric } from './cayley.ts';
import { rotationsOnTape } from './rotations.ts';

/**
 * Orthogonal fine-tuning (Qiu et al., 2023) in PEFT's input-centric form (Qiu et al., 2025): y = W·(x·R) + bias with a block-diagonal
 * orthogonal R. The blocks are computed once.
 */
export const oft: TrainableMethod<OftConfig> = {
  name: 'oft',
  peftType: 'OFT',

  /** COFT changes the parameters themselves in each step, and dropout replaces whole blocks: neither is written yet. */
  untrained: ({ coft, module_dropout }) => [
    ...(coft ? ['coft'] : []),
    ...(module_dropout > 0 ? ['module_dropout'] : []),
  ],

  parameters(config, sites) {
    return resolveTargets(config, sites).map((site) => {
      const { blockSize: B, numBlocks } = oftBlocks(config, site.in);
      return {
        name: tensorName(site.path, 'oft_R.weight'),
        shape: [config.block_share ? 1 : numBlocks, (B * (B - 1)) / 2],
      };
    });
  },

  /** Zeros: every block is the identity, and a new adapter changes nothing. */
  initialise: (_config, _parameter, values) => void values.fill(0),

  bind(config, base, tensors) {
    const bound = new Set(resolveTargets(config, base.sites).map(({ path }) => path));
    return {
      linear(g, site, x, layer) {
        if (!bound.has(site.path)) return layer(x);
        const { blockSize } = oftBlocks(config, site.in);
        const blocks = rotationsOnTape(g, config, tensorAt(tensors, site, 'oft_R.weight'), blockSize);
        return layer(multiplyBlocks(g, x, blocks));
      },
    };
  },

  compile(config, base, tensors) {
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const blocks_NBB = rotations(base.kernels, config, site, tensorAt(tensors, site, 'oft_R.weight'));
      sites.set(site.path, [{ kind: 'block-rotation', blocks_NBB }]);
    }
    return assembleAdapter({ sites });
  },

  /** W'[o, n·B + k] = Σ_c W[o, n·B + c] · R_n[k, c] */
  merge(config, { site, weight_OI, kernels }, tensors) {
    const { shape, data } = rotations(kernels, config, site, tensorAt(tensors, site, 'oft_R.weight'));
    const [N, B] = shape as [number, number];
    const before = zerosLike(weight_OI, site.out * B);
    const after = zerosLike(weight_OI, site.out * B);
    for (let column = 0; column < site.in; column += B) {
      const block = data.subarray(N === 1 ? 0 : column * B).subarray(0, B * B);
      for (let o = 0; o < site.out; o++) {
        const begin = o * site.in + column;
        before.set(weight_OI.subarray(begin, begin + B), o * B);
      }
      kernels.gemm(after, before, block, { M: site.out, N: B, K: B, transposeB: true });
      for (let o = 0; o < site.out; o++) weight_OI.set(after.subarray(o * B, (o + 1) * B), o * site.in + column);
    }
  },
};

/** The blocks R_n [N, B, B], N being 1 with block_share. */
function rotations(kernels: Kernels, config: OftConfig, site: LinearSite, upper: Tensor): Tensor {
  const { blockSize: B } = oftBlocks(config, site.in);
  const [N, numUpper] = upper.shape as [number, number];
  const data = zerosLike(upper.data, N * B * B);
  for (let n = 0; n < N; n++) {
    const skew = skewSymmetric(upper.data.subarray(n * numUpper, (n + 1) * numUpper), B);
    if (config.coft) constrain(skew, config.eps / Math.sqrt(N));
    const block = config.use_cayley_neumann
      ? cayleyNeumann(kernels, skew, B, config.num_cayley_neumann_terms)
      : cayley(skew, B);
    data.set(block, n * B * B);
  }
  return { shape: [N, B, B], data };
}
