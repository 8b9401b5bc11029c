import { LN_GAIN, tensorName, type LnTuningConfig } from '../../formats/index.ts';
import { baseHooks, normGain, normSites, type ModelConfig, type NormSite } from '../../model/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { requireTensor, type AdapterTensors, type TrainableMethod } from '../method.ts';
import { resolveTargets } from '../targets.ts';
import { gainHooks } from './base-parts.ts';

/** LN tuning (Zhao et al., 2023): the gains of norms are trained, whole, and stand in place of the base's. */
export const lnTuning: TrainableMethod<LnTuningConfig> = {
  name: 'ln-tuning',
  peftType: 'LN_TUNING',
  sharesProduct: true,

  parameters: (config, _sites, model) =>
    targetsIn(config, model).map(({ path, width }) => ({ name: tensorName(path, LN_GAIN), shape: [width] })),

  /** The base's gains: a new adapter changes nothing. */
  initialise(config, { name }, values, _rng, base) {
    const site = targetsIn(config, base.config).find(({ path }) => name === tensorName(path, LN_GAIN));
    if (site) values.set(normGain(base, site).data);
  },

  bind: (config, base, tensors) => ({ ...baseHooks, ...gainHooks(gainsOf(config, base.config, tensors)) }),

  compile: (config, base, tensors) =>
    assembleAdapter({ sites: new Map(), norms: gainsOf(config, base.config, tensors) }),
};

function targetsIn(config: LnTuningConfig, model: ModelConfig): NormSite[] {
  return resolveTargets(config, normSites(model));
}

/** The trained gains by the paths of their norms. */
function gainsOf(config: LnTuningConfig, model: ModelConfig, tensors: AdapterTensors) {
  return new Map(targetsIn(config, model).map(({ path }) => [path, requireTensor(tensors, tensorName(path, LN_GAIN))]));
}
