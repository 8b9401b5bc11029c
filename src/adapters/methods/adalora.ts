import { fail } from '../../base/index.ts';
import { adaloraRank, rankPatternKey, tensorName, type AdaloraConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addDenseDelta, denseLinear, dropout, multiplyColumns, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, scaleRows } from '../dense.ts';
import { tensorAt, type AdapterTensors, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { resolveTargets } from '../targets.ts';
import { onTargets } from './on-targets.ts';
import { RankBudget } from './rank-budget.ts';

const A = 'lora_A';
const B = 'lora_B';
const E = 'lora_E';
/** PEFT's default deviation of A and B. */
const DEVIATION = 0.02;

/**
 * AdaLoRA (Zhang et al., 2023): y = W·x + s · B·(e ⊙ (A·x)), a singular value decomposition whose least important singular values e are set to
 * zero during training until a budget is left, with a penalty that keeps A and B orthogonal. s is PEFT's alpha/(init_r + 1e-5).
 */
export const adalora: TrainableMethod<AdaloraConfig> = {
  name: 'adalora',
  peftType: 'ADALORA',
  sharesProduct: true,

  /** A pruned adapter has lost the ranks that a budget would be shared out over. */
  untrained: ({ rank_pattern }) => (rank_pattern === null ? [] : ['rank_pattern']),

  parameters(config, sites) {
    return resolveTargets(config, sites).flatMap((site) => {
      const rank = adaloraRank(config, site.path);
      return [
        { name: tensorName(site.path, A), shape: [rank, site.in] },
        { name: tensorName(site.path, E), shape: [rank, 1] },
        { name: tensorName(site.path, B), shape: [site.out, rank] },
      ];
    });
  },

  /** The singular values are zero: a new adapter changes nothing. */
  initialise(_config, { name }, values, rng) {
    if (name.endsWith(`.${E}`)) values.fill(0);
    else for (let i = 0; i < values.length; i++) values[i] = DEVIATION * rng.nextNormal();
  },

  /** The steps of the config are in proportion to `total_step`: a run stretches them to its own number. */
  scheduled(config, totalSteps) {
    const { tinit, tfinal, total_step: planned } = config;
    const stretched = (steps: number): number => Math.round((steps / planned) * totalSteps);
    const made = { ...config, total_step: totalSteps, tinit: stretched(tinit), tfinal: stretched(tfinal) };
    if (made.tinit < totalSteps - made.tfinal) return made;
    return fail(
      'CONFIG_INVALID',
      `${totalSteps} steps leave none for AdaLoRA's budget to fall between the first ${made.tinit} and the last ${made.tfinal}: train longer`,
      { param: 'total_step' },
    );
  },

  stepRule: (config, parameters) => new RankBudget(config, parameters),

  bind(config, base, tensors, { dropoutRng }) {
    return onTargets(config, base, (g, site, x, layer) => {
      const y = layer(x);
      const input = dropoutRng ? dropout(g, x, config.lora_dropout, dropoutRng) : x;
      const inner = multiplyColumns(g, denseLinear(g, input, tensorAt(tensors, site, A)), tensorAt(tensors, site, E));
      addDenseDelta(g, y, inner, tensorAt(tensors, site, B), scaleOf(config));
      return y;
    });
  },

  /** A module whose every singular value was cut off is the base's, unless all are: then nothing was trained yet. */
  compile(config, base, tensors) {
    const targets = resolveTargets(config, base.sites);
    const isTrained = targets.some((site) => hasValues(tensors, site));
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of targets) {
      if (isTrained && !hasValues(tensors, site)) continue;
      sites.set(site.path, [
        {
          kind: 'low-rank-delta',
          a_RI: scaledA(tensors, site),
          b_OR: tensorAt(tensors, site, B),
          scale: scaleOf(config),
        },
      ]);
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    if (!hasValues(tensors, site)) return;
    addProduct(kernels, weight_OI, tensorAt(tensors, site, B), scaledA(tensors, site), scaleOf(config));
  },

  /** Ranks whose singular value is zero are left out, and `rank_pattern` says which: as PEFT saves an adapter after its budget was shared out. */
  saved(config, tensors) {
    const paths = [...tensors.keys()].flatMap((name) => /^base_model\.model\.(.+)\.lora_E$/.exec(name)?.[1] ?? []);
    const masks = new Map(paths.map((path) => [path, keptRanks(tensors, path)] as const));
    const numKept = [...masks.values()].flat().filter(Boolean).length;
    // None: nothing was trained yet.
    if (numKept === 0 || numKept === [...masks.values()].flat().length) return { config, tensors };
    const pruned = new Map(tensors);
    for (const [path, mask] of masks) {
      for (const suffix of [A, B, E]) {
        const name = tensorName(path, suffix);
        const tensor = tensors.get(name);
        if (tensor) pruned.set(name, keepRanks(tensor, mask, suffix === B));
      }
    }
    const rank_pattern = Object.fromEntries([...masks].map(([path, mask]) => [rankPatternKey(path), mask]));
    return { config: { ...config, rank_pattern }, tensors: pruned };
  },
};

/** The same as PEFT's, which divides by the first rank whatever is left of it. */
function scaleOf({ lora_alpha: alpha, init_r }: AdaloraConfig): number {
  return (alpha > 0 ? alpha : init_r) / (init_r + 1e-5);
}

function hasValues(tensors: AdapterTensors, site: LinearSite): boolean {
  return tensorAt(tensors, site, E).data.some((value) => value !== 0);
}

/** e ⊙ A, row by row. */
function scaledA(tensors: AdapterTensors, site: LinearSite): Tensor {
  const { shape, data } = tensorAt(tensors, site, A);
  const scaled = data.slice();
  scaleRows(scaled, tensorAt(tensors, site, E).data);
  return { shape, data: scaled };
}

function keptRanks(tensors: AdapterTensors, path: string): boolean[] {
  return [...(tensors.get(tensorName(path, E))?.data ?? [])].map((value) => value !== 0);
}

/** The rows of a tensor that are kept, or its columns. */
function keepRanks({ shape, data }: Tensor, mask: readonly boolean[], isColumns: boolean): Tensor {
  const [rows, columns] = shape as [number, number];
  const kept = data.filter((_, at) => mask[isColumns ? at % columns : Math.floor(at / columns)]);
  const numKept = mask.filter(Boolean).length;
  return { shape: isColumns ? [rows, numKept] : [numKept, columns], data: kept };
}
