import { assert, fail } from '../base/index.ts';
import {
  evaFactors,
  loftqFactors,
  loraGaFactors,
  loraScales,
  oloraFactors,
  pissaFactors,
  loraTargets,
  type LoraPair,
  type LoraStart,
  type StartSite,
} from '../adapters/index.ts';
import type { LoraConfig } from '../formats/index.ts';
import type { BaseModel, LinearSite, SiteHooks } from '../model/index.ts';
import {
  BufferPool,
  gatherRows,
  Inference,
  observeGradient,
  Tape,
  type Floats,
  type Parameter,
  type Tensor,
} from '../numeric/index.ts';
import type { TrainedConfig } from './full-model.ts';
import type { Objective } from './objectives/objective.ts';
import { groupByTokens, type PackedBatch, type TokenExample } from './pack.ts';
import { evaluateStep, trainStep } from './step.ts';

/** First values of A and B other than random ones and zeros. */
export type LoraStartName = 'pissa' | 'olora' | 'eva' | 'loftq' | 'lora-ga';
export const LORA_STARTS: readonly LoraStartName[] = ['pissa', 'olora', 'eva', 'loftq', 'lora-ga'];

/** How a LoRA is trained, where it is not as the paper does it. */
export interface LoraTraining {
  readonly start?: LoraStartName;
  /** LoRA-FA (Zhang et al., 2023): A keeps its first value, and the layers' inputs need not be kept for it. */
  readonly freezeA?: true;
}

/** What first values are made of beside the base's weights. */
export interface StartSources {
  readonly objective: Objective;
  /** See {@link firstBatches}. */
  readonly batches: readonly PackedBatch[];
  /** The weights of a layer before they were quantised; undefined where nobody can read them. */
  readonly original: ((site: LinearSite) => Floats) | undefined;
}

/** Tokens of training data that EVA and LoRA-GA look at. */
const START_TOKENS = 16_384;

/** Micro-batches of training examples in the given order, up to {@link START_TOKENS}. */
export function firstBatches(
  groups: readonly (readonly TokenExample[])[],
  objective: Objective,
  microBatchTokens: number,
): PackedBatch[] {
  const batches: PackedBatch[] = [];
  let tokens = 0;
  for (const examples of groups) {
    const lengths = examples.map(({ tokenIds }) => tokenIds.length);
    for (const [begin, end] of groupByTokens(lengths, microBatchTokens)) {
      const batch = objective.pack(examples.slice(begin, end));
      tokens += batch.tokenIds_T.length;
      if (tokens > START_TOKENS && batches.length > 0) return batches;
      if (batch.weightSum !== 0) batches.push(batch);
    }
  }
  return batches;
}

/** Where a run begins. */
export interface StartedLora {
  readonly pairs: LoraStart;
  /** The base is to be thought without it. */
  readonly isTakenOff: boolean;
}

/** @throws CONFIG_INVALID for a method other than plain LoRA, a base that was not quantised (LoftQ), a rank that a layer does not have */
export function startLora(
  name: LoraStartName,
  adapter: TrainedConfig,
  base: BaseModel,
  sources: StartSources,
): StartedLora {
  if (adapter.peft_type !== 'LORA' || adapter.use_dora || adapter.lora_bias) {
    fail('CONFIG_INVALID', `the start ${name} is for LoRA without magnitudes and biases: use --method lora or qlora`, {
      param: 'start',
    });
  }
  if (sources.objective.name === 'classification' && (name === 'eva' || name === 'lora-ga')) {
    fail(
      'CONFIG_INVALID',
      `the start ${name} looks at predicted tokens, which a classification has none of: use pissa, olora or none`,
      {
        param: 'start',
      },
    );
  }
  const { linear, embedding, head } = loraTargets(adapter, base.sites);
  if (embedding || head) {
    fail(
      'CONFIG_INVALID',
      `the start ${name} is for linear layers: leave embed_tokens and lm_head out of the targets`,
      {
        param: 'start',
      },
    );
  }
  const factorsOf = factory(name, adapter, base, sources);
  const scaleOf = loraScales(adapter);
  const pairs = new Map<string, LoraPair>();
  for (const site of linear) {
    const { path, in: inputs, out } = site;
    pairs.set(path, factorsOf({ kernels: base.kernels, path, in: inputs, out, ...scaleOf(path) }, site));
  }
  return { pairs, isTakenOff: name === 'pissa' || name === 'olora' || name === 'lora-ga' };
}

type Factory = (start: StartSite, site: LinearSite) => LoraPair;

function factory(name: LoraStartName, config: LoraConfig, base: BaseModel, sources: StartSources): Factory {
  const served = ({ layer, role }: LinearSite): Floats => base.kernels.thaw(base.layers[layer].linear[role].weight);
  switch (name) {
    case 'pissa':
      return (start, site) => pissaFactors(start, served(site));
    case 'olora':
      return (start, site) => oloraFactors(start, served(site));
    case 'loftq': {
      const { original } = sources;
      if (base.format !== 'nf4' && base.format !== 'int8') {
        fail('CONFIG_INVALID', `LoftQ makes good what quantisation took, this base is in ${base.format}: use qlora`, {
          param: 'start',
        });
      }
      assert(original, 'a run that starts with LoftQ can read the weights');
      return (start, site) => loftqFactors(start, original(site), served(site));
    }
    case 'eva': {
      const scatterOf = scatterOfInputs(config, base, sources);
      return (start, site) => evaFactors(start, scatterOf(site));
    }
    case 'lora-ga': {
      const gradientOf = meanGradients(config, base, sources);
      return (start, site) => loraGaFactors(start, gradientOf(site));
    }
    default:
      return name satisfies never;
  }
}

/** Sums over the inputs of a layer: of x·xᵀ and of x. */
interface Scatter {
  readonly squares: Floats;
  readonly sums: Float64Array;
  count: number;
}

/** Σ (x − mean)·(x − mean)ᵀ of each targeted layer's inputs at the tokens that are predicted. Layers with the same input share one. */
function scatterOfInputs(config: LoraConfig, base: BaseModel, { objective, batches }: StartSources) {
  const { kernels } = base;
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  const scatters = new Map<string, Scatter>();
  const targets = new Set(loraTargets(config, base.sites).linear.map(({ path }) => path));
  for (const batch of batches) {
    // The row after the one that predicts a token is the token's own.
    const rows = batch.lossRows_N.map((row) => row + 1);
    let last: { readonly x: Tensor; readonly scatter: Scatter } | undefined;
    const hooks: SiteHooks = {
      linear(graph, site, x, layer) {
        if (targets.has(site.path)) {
          if (last?.x === x) scatters.set(site.path, last.scatter);
          else {
            const scatter = scatters.get(site.path) ?? emptyScatter(x, site.in);
            addRows(kernels, scatter, gatherRows(graph, x, rows));
            scatters.set(site.path, scatter);
            last = { x, scatter };
          }
        }
        return layer(x);
      },
    };
    evaluateStep(g, base, hooks, batch, objective);
  }
  return (site: LinearSite): Floats => {
    const scatter = scatters.get(site.path);
    if (!scatter || scatter.count < 2) {
      return fail('CONFIG_INVALID', 'EVA needs training data with at least two tokens to predict', { param: 'start' });
    }
    const { squares, sums, count } = scatter;
    return squares.map((value, at) => value - (sums[Math.floor(at / site.in)] * sums[at % site.in]) / count);
  };
}

function emptyScatter({ data }: Tensor, I: number): Scatter {
  const squares = data instanceof Float64Array ? new Float64Array(I * I) : new Float32Array(I * I);
  return { squares, sums: new Float64Array(I), count: 0 };
}

function addRows(kernels: BaseModel['kernels'], scatter: Scatter, { shape, data }: Tensor): void {
  const [T, I] = shape as [number, number];
  kernels.gemm(scatter.squares, data, data, { M: I, N: I, K: T, transposeA: true, accumulate: true });
  for (let at = 0; at < data.length; at++) scatter.sums[at % I] += data[at];
  scatter.count += T;
}

/** The gradient of the mean loss with respect to each targeted layer's weights. */
function meanGradients(config: LoraConfig, base: BaseModel, { objective, batches }: StartSources) {
  const pool = new BufferPool(base.kernels.name === 'reference' ? 'f64' : 'f32');
  const parameters = new Map(
    loraTargets(config, base.sites).linear.map(({ path, in: I, out: O }): [string, Parameter] => {
      const shape = [O, I];
      const gradient = { shape, data: new Float32Array(O * I) };
      // Nobody reads the value.
      return [path, { name: path, value: { shape, data: new Float32Array(0) }, gradient }];
    }),
  );
  const tape = new Tape(base.kernels, pool, [...parameters.values()]);
  const hooks: SiteHooks = {
    linear(g, site, x, layer) {
      const y = layer(x);
      const parameter = parameters.get(site.path);
      if (parameter) observeGradient(g, y, x, parameter.value);
      return y;
    },
  };
  let weightSum = 0;
  for (const batch of batches) weightSum += trainStep(tape, base, hooks, batch, objective).weightSum;
  return ({ path }: LinearSite): Floats => {
    const gradient = parameters.get(path)?.gradient.data;
    if (!gradient || weightSum === 0) {
      return fail('CONFIG_INVALID', 'LoRA-GA needs training data with tokens to predict', { param: 'start' });
    }
    return gradient.map((value) => value / weightSum);
  };
}
