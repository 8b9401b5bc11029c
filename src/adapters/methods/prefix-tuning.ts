import { fail } from '../../base/index.ts';
import { PROMPT_EMBEDDINGS, type PrefixTuningConfig } from '../../formats/index.ts';
import { baseHooks, type BaseModel } from '../../model/index.ts';
import {
  activate,
  addColumns,
  BufferPool,
  denseLinear,
  Inference,
  replaceRows,
  type Graph,
  type Tensor,
} from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { zerosLike } from '../dense.ts';
import { requireTensor, type AdapterTensors, type TrainableMethod } from '../method.ts';
import {
  embeddingParameter,
  encoderLinear,
  encoderName,
  initialiseEncoder,
  linearParameters,
  type EncoderParameter,
} from './encoder.ts';
import { virtualRows } from './virtual-rows.ts';

const INNER = 'transform.0';
const OUTER = 'transform.2';

/**
 * Prefix tuning (Li and Liang, 2021): trained keys and values stand before the prompt in every layer. PEFT stores a row for each virtual
 * token, [L, 2, G, E] in one line; here each layer's keys are together, as its attention reads them. With `prefix_projection` these rows
 * are made of embeddings by a two-layer network while they are trained (section 4.3), and saved without it.
 */
export const prefixTuning: TrainableMethod<PrefixTuningConfig> = {
  name: 'prefix-tuning',
  peftType: 'PREFIX_TUNING',
  sharesProduct: true,

  parameters: (config) => parametersOf(config),

  initialise(config, parameter, values, rng) {
    // PEFT's "zero": keys and values of zeros, which still take their part of the attention.
    const isLast = parameter.name === PROMPT_EMBEDDINGS || parameter.name.startsWith(encoderName(OUTER));
    if (config.init_weights === 'zero' && isLast) values.fill(0);
    else initialiseEncoder(parametersOf(config), parameter, values, rng);
  },

  /** The rows of virtual tokens go through the layers for their places in attention alone: nothing reads what they compute. */
  bind(config, _base, tensors) {
    const { num_virtual_tokens: N, token_dim: K } = config;
    return {
      ...baseHooks,
      numVirtual: N,
      keyValues(g, layer, rows, k, v) {
        const copies = virtualRows(rows, N);
        if (copies.to.length === 0) return;
        const stored = requireSource(config, tensors);
        const source = stored ?? projected(g, tensors, layer, K);
        const column = stored ? 2 * layer * K : 0;
        replaceRows(g, k, source, { ...copies, column });
        replaceRows(g, v, source, { ...copies, column: column + K });
      },
    };
  },

  fold(config, base, tensors) {
    const stored = requireSource(config, tensors) ?? projectedOnce(config, base, tensors);
    return new Map([[PROMPT_EMBEDDINGS, stored]]);
  },

  compile(config, base, tensors) {
    const stored = requireTensor(tensors, PROMPT_EMBEDDINGS).data;
    const { numLayers: L } = base.config;
    const [N, K] = [config.num_virtual_tokens, config.token_dim];
    const keys = zerosLike(stored, L * N * K);
    const values = zerosLike(stored, L * N * K);
    for (let n = 0; n < N; n++) {
      for (let layer = 0; layer < L; layer++) {
        const from = (n * L + layer) * 2 * K;
        const to = (layer * N + n) * K;
        keys.set(stored.subarray(from, from + K), to);
        values.set(stored.subarray(from + K, from + 2 * K), to);
      }
    }
    const shape = [L, N, K];
    const virtual = {
      kind: 'key-values',
      count: N,
      keys_LNK: { shape, data: keys },
      values_LNK: { shape, data: values },
    } as const;
    return assembleAdapter({ sites: new Map(), virtual });
  },
};

/** @throws CONFIG_INVALID for a projection without a size */
function parametersOf(config: PrefixTuningConfig): EncoderParameter[] {
  const { num_virtual_tokens: N, token_dim: K, num_layers: L, encoder_hidden_size: H } = config;
  if (!config.prefix_projection) return [{ name: PROMPT_EMBEDDINGS, shape: [N, L * 2 * K] }];
  if (H === null) {
    fail('CONFIG_INVALID', 'encoder_hidden_size is null: prefix_projection trains a network, which needs a size', {
      param: 'encoder_hidden_size',
    });
  }
  return [embeddingParameter(N, K), ...linearParameters(INNER, K, H), ...linearParameters(OUTER, H, L * 2 * K)];
}

/** The trained rows themselves; undefined where a network makes them. */
function requireSource(config: PrefixTuningConfig, tensors: AdapterTensors): Tensor | undefined {
  return config.prefix_projection ? undefined : requireTensor(tensors, PROMPT_EMBEDDINGS);
}

/** Keys and values of one layer, [N, 2·K], from parameters alone: a layer may run again on the way back. */
function projected(g: Graph, tensors: AdapterTensors, layer: number, K: number): Tensor {
  const embedding = requireTensor(tensors, encoderName('embedding.weight'));
  const inner = activate(g, encoderLinear(g, tensors, INNER, embedding), 'tanh');
  const part = (kind: string): Tensor =>
    g.rows(requireTensor(tensors, encoderName(`${OUTER}.${kind}`)), 2 * layer * K, 2 * (layer + 1) * K);
  const rows = denseLinear(g, inner, part('weight'));
  addColumns(g, rows, part('bias'), 1);
  return rows;
}

function projectedOnce(config: PrefixTuningConfig, { kernels }: BaseModel, tensors: AdapterTensors): Tensor {
  const { num_virtual_tokens: N, num_layers: L, token_dim: K } = config;
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  const first = requireTensor(tensors, encoderName('embedding.weight')).data;
  const data = zerosLike(first, N * L * 2 * K);
  for (let layer = 0; layer < L; layer++) {
    const rows = projected(g, tensors, layer, K).data;
    for (let n = 0; n < N; n++) data.set(rows.subarray(n * 2 * K, (n + 1) * 2 * K), (n * L + layer) * 2 * K);
    g.endStep();
  }
  return { shape: [N, L * 2 * K], data };
}
