import { boftBlocks, tensorName, type BoftConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { multiplyBlocks, scaleAround, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { scaleRows, unscaledBias, zerosLike } from '../dense.ts';
import { tensorAt, type AdapterTensors, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { cayley } from './cayley.ts';
import { rotateWeight, skewPart, skewRotationsOnTape } from './rotations.ts';

const R = 'boft_R';
const S = 'boft_s';

/**
 * BOFT (Liu et al., 2024) with one butterfly factor, as PEFT computes it on a CPU: y = s ⊙ (W·(x·R)) + bias with a block-diagonal
 * orthogonal R and a trained scale for each output. The base's bias is not scaled.
 */
export const boft: TrainableMethod<BoftConfig> = {
  name: 'boft',
  peftType: 'BOFT',

  /** Dropout replaces whole blocks: not written yet. */
  untrained: ({ boft_dropout }) => (boft_dropout > 0 ? ['boft_dropout'] : []),

  parameters(config, sites) {
    return resolveTargets(config, sites).flatMap((site) => {
      const { blockSize: B, numBlocks } = boftBlocks(config, site);
      return [
        { name: tensorName(site.path, R), shape: [1, numBlocks, B, B] },
        { name: tensorName(site.path, S), shape: [site.out, 1] },
      ];
    });
  },

  /** Zeros and ones: every block is the identity, and a new adapter changes nothing. */
  initialise: (_config, { name }, values) => void values.fill(name.endsWith(`.${S}`) ? 1 : 0),

  bind(config, base, tensors) {
    return onTargets(config, base, (g, site, x, layer) => {
      const blocks = skewRotationsOnTape(g, tensorAt(tensors, site, R), boftBlocks(config, site).blockSize);
      const { bias } = base.layers[site.layer].linear[site.role];
      return scaleAround(g, layer(multiplyBlocks(g, x, blocks)), tensorAt(tensors, site, S), bias);
    });
  },

  compile(config, base, tensors) {
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const factor_O = { shape: [site.out], data: tensorAt(tensors, site, S).data };
      const primitives: RowPrimitive[] = [
        { kind: 'block-rotation', blocks_NBB: rotations(config, site, tensors) },
        { kind: 'scale-output', factor_O },
      ];
      const { bias } = base.layers[site.layer].linear[site.role];
      if (bias) primitives.push({ kind: 'bias', bias_O: unscaledBias(bias, factor_O) });
      sites.set(site.path, primitives);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    rotateWeight(kernels, weight_OI, rotations(config, site, tensors), site.in);
    scaleRows(weight_OI, tensorAt(tensors, site, S).data);
  },
};

/** The blocks R_n [N, B, B]. */
function rotations(config: BoftConfig, site: LinearSite, tensors: AdapterTensors): Tensor {
  const { blockSize: B, numBlocks: N } = boftBlocks(config, site);
  const matrices = tensorAt(tensors, site, R).data;
  const data = zerosLike(matrices, N * B * B);
  for (let n = 0; n < N; n++) data.set(cayley(skewPart(matrices, n, B), B), n * B * B);
  return { shape: [N, B, B], data };
}
