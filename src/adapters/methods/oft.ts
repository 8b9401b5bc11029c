import { oftBlocks, tensorName, type OftConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { multiplyBlocks, type Kernels, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { zerosLike } from '../dense.ts';
import { tensorAt, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { cayley, cayleyNeumann, constrain, skewSymmetric } from './cayley.ts';
import { rotateWeight, rotationsOnTape } from './rotations.ts';

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
    return onTargets(config, base, (g, site, x, layer) => {
      const { blockSize } = oftBlocks(config, site.in);
      const blocks = rotationsOnTape(g, config, tensorAt(tensors, site, 'oft_R.weight'), blockSize);
      return layer(multiplyBlocks(g, x, blocks));
    });
  },

  compile(config, base, tensors) {
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const blocks_NBB = rotations(base.kernels, config, site, tensorAt(tensors, site, 'oft_R.weight'));
      sites.set(site.path, [{ kind: 'block-rotation', blocks_NBB }]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    const blocks = rotations(kernels, config, site, tensorAt(tensors, site, 'oft_R.weight'));
    rotateWeight(kernels, weight_OI, blocks, site.in);
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
