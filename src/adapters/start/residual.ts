import { fail } from '../../base/index.ts';
import { tensorName, type LoraConfig } from '../../formats/index.ts';
import type { SiteHooks } from '../../model/index.ts';
import { addLowRankDelta } from '../../numeric/index.ts';
import { zerosLike } from '../dense.ts';
import type { AdapterTensors } from '../method.ts';
import { loraScales } from '../methods/lora-scales.ts';
import type { LoraPair } from './factors.ts';

/** First values of A and B that are not zero, by the modules' paths. */
export type LoraStart = ReadonlyMap<string, LoraPair>;

/**
 * PiSSA, OLoRA and LoRA-GA train beside a base that lacks what A and B begin with. The base here is everybody's and stays: its first product
 * is taken off again, y = W·x + s·B·A·x − s·B₀·A₀·x, so that a new adapter changes nothing.
 * @param hooks LoRA's own
 */
export function withoutStart(config: LoraConfig, hooks: SiteHooks, start: LoraStart): SiteHooks {
  const scaleOf = loraScales(config);
  return {
    ...hooks,
    linear(g, site, x, layer) {
      const y = hooks.linear(g, site, x, layer);
      const first = start.get(site.path);
      if (first) addLowRankDelta(g, y, x, first.a_RI, first.b_OR, -scaleOf(site.path).scale);
      return y;
    },
  };
}

/**
 * The trained LoRA as one of twice the rank on the base as it is, B·A − B₀·A₀ = [B, −B₀]·[A; A₀]: the form that PEFT's `save_pretrained` with
 * `path_initial_model_for_weight_conversion` writes.
 */
export function asPlainLora(
  config: LoraConfig,
  tensors: AdapterTensors,
  start: LoraStart,
): { readonly config: LoraConfig; readonly tensors: AdapterTensors } {
  const joined = new Map(tensors);
  for (const [path, first] of start) {
    const [nameA, nameB] = [tensorName(path, 'lora_A.weight'), tensorName(path, 'lora_B.weight')];
    const [a, b] = [tensors.get(nameA), tensors.get(nameB)];
    if (!a || !b) return fail('INTERNAL', `${path} has a first value and no trained one`);
    const [R, I] = a.shape as [number, number];
    const O = b.shape[0];
    const [rows, columns] = [zerosLike(a.data, 2 * R * I), zerosLike(b.data, O * 2 * R)];
    rows.set(a.data);
    rows.set(first.a_RI.data, R * I);
    for (let o = 0; o < O; o++) {
      for (let r = 0; r < R; r++) {
        columns[o * 2 * R + r] = b.data[o * R + r];
        columns[o * 2 * R + R + r] = -first.b_OR.data[o * R + r];
      }
    }
    joined.set(nameA, { shape: [2 * R, I], data: rows });
    joined.set(nameB, { shape: [O, 2 * R], data: columns });
  }
  // The scale is alpha/r or alpha/√r, and stays.
  const growth = config.use_rslora ? Math.SQRT2 : 2;
  const times = (pattern: Readonly<Record<string, number>>, factor: number): Record<string, number> =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, value * factor]));
  return {
    config: {
      ...config,
      r: 2 * config.r,
      lora_alpha: growth * config.lora_alpha,
      rank_pattern: times(config.rank_pattern, 2),
      alpha_pattern: times(config.alpha_pattern, growth),
    },
    tensors: joined,
  };
}
