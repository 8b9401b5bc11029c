import type { AdapterTensors, ParameterSpec, StepRule, TrainingMode } from '../adapters/index.ts';
import type { PeftConfig } from '../formats/index.ts';
import { assert, type Rng } from '../base/index.ts';
import { trainableMethodOf, type TrainableMethod } from '../adapters/index.ts';
import {
  baseTensors,
  normGain,
  normSites,
  type BaseModel,
  type LinearSite,
  type ModelConfig,
  type SiteHooks,
} from '../model/index.ts';
import { addColumns, denseLinear, replaceRows, type Floats, type Parameter, type Tensor } from '../numeric/index.ts';

/** The settings of a run that trains every weight of the base: there are none. */
export interface FullConfig {
  readonly peft_type: 'FULL';
}

export const FULL_CONFIG: FullConfig = { peft_type: 'FULL' };

/** What a run trains: an adapter, or the whole model. */
export type TrainedConfig = PeftConfig | FullConfig;

export function isFull(config: TrainedConfig): config is FullConfig {
  return config.peft_type === 'FULL';
}

/** What a run needs of what it trains: see `TrainableMethod`. */
export interface TrainedMethod {
  readonly sharesProduct?: boolean;
  parameters(sites: readonly LinearSite[], model: ModelConfig): ParameterSpec[];
  initialise(parameter: ParameterSpec, values: Floats, rng: Rng, base: BaseModel, initial?: readonly number[]): void;
  bind(base: BaseModel, tensors: AdapterTensors, mode: TrainingMode): SiteHooks;
  warnings?(sites: readonly LinearSite[], model: ModelConfig): string[];
  fold?(base: BaseModel, tensors: AdapterTensors): AdapterTensors;
  scheduled?(totalSteps: number): PeftConfig;
  stepRule?(parameters: readonly Parameter[], model: ModelConfig): StepRule | undefined;
}

/** @throws CONFIG_INVALID for an adapter that cannot be trained */
export function trainedMethodOf(config: TrainedConfig): TrainedMethod {
  return isFull(config) ? fullModel : methodFor(trainableMethodOf(config), config);
}

function methodFor<Config extends PeftConfig>(method: TrainableMethod<Config>, config: Config): TrainedMethod {
  return {
    ...(method.sharesProduct !== undefined && { sharesProduct: method.sharesProduct }),
    parameters: (sites, model) => method.parameters(config, sites, model),
    initialise: (...rest) => method.initialise(config, ...rest),
    bind: (...rest) => method.bind(config, ...rest),
    ...(method.warnings && { warnings: method.warnings.bind(method, config) }),
    ...(method.fold && { fold: (...rest) => method.fold?.(config, ...rest) ?? rest[1] }),
    ...(method.scheduled && { scheduled: (totalSteps) => method.scheduled?.(config, totalSteps) ?? config }),
    ...(method.stepRule && { stepRule: method.stepRule.bind(method, config) }),
  };
}

const EMBEDDING = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';

/**
 * Full fine-tuning: every tensor of the base by Hugging Face's name, in float32, as the parameters of a run. The honest baseline of what adapters
 * save. A tied head is the embedding, and gets both gradients. It is written for clearness: logits are held whole, and products are
 * those of trainable matrices.
 */
const fullModel: TrainedMethod = {
  parameters: (_sites, model) => baseTensors(model).map(({ name, shape }) => ({ name, shape })),

  initialise({ name }, values, _rng, base) {
    values.set(valuesOf(base, name));
  },

  bind(base, tensors) {
    const at = (name: string): Tensor => {
      const tensor = tensors.get(name);
      assert(tensor, `the model has a tensor ${name}`);
      return tensor;
    };
    const head_VD = base.config.tieEmbeddings ? at(EMBEDDING) : at(HEAD);
    return {
      linear(g, site, x) {
        const y = denseLinear(g, x, at(`${site.path}.weight`));
        const bias = tensors.get(`${site.path}.bias`);
        if (bias) addColumns(g, y, bias, 1);
        return y;
      },
      norm: (_g, { path }, x, norm) => norm(x, at(`${path}.weight`)),
      embed(g, { tokenIds_T }, x) {
        replaceRows(g, x, at(EMBEDDING), { to: tokenIds_T.map((_, row) => row), from: tokenIds_T });
      },
      head: { logits: (g, x) => denseLinear(g, x, head_VD) },
    };
  },
};

/** The values of a tensor of the base. */
function valuesOf(base: BaseModel, name: string): Floats {
  if (name === EMBEDDING) return base.kernels.thaw(base.embedding);
  if (name === HEAD) return base.kernels.thaw(base.head);
  const norm = normSites(base.config).find(({ path }) => name === `${path}.weight`);
  if (norm) return normGain(base, norm).data;
  const site = base.sites.find(({ path }) => name.startsWith(`${path}.`));
  assert(site, `${name} is a tensor of the base`);
  const { weight, bias } = base.layers[site.layer].linear[site.role];
  if (name.endsWith('.weight')) return base.kernels.thaw(weight);
  assert(bias, `${site.path} has a bias`);
  return bias.data;
}
