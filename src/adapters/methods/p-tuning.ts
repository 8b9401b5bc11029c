import { fail, type Rng } from '../../base/index.ts';
import { PROMPT_EMBEDDINGS, type PTuningConfig } from '../../formats/index.ts';
import { baseHooks, type BaseModel } from '../../model/index.ts';
import { activate, BufferPool, dropout, Inference, replaceRows, type Graph, type Tensor } from '../../numeric/index.ts';
import { requireTensor, type AdapterTensors, type TrainableMethod } from '../method.ts';
import {
  embeddingParameter,
  encoderLinear,
  encoderLstm,
  encoderName,
  initialiseEncoder,
  linearParameters,
  lstmParameters,
  type EncoderParameter,
} from './encoder.ts';
import { compileEmbeddings } from './prompt-tuning.ts';
import { virtualRows } from './virtual-rows.ts';

/**
 * P-tuning (Liu et al., 2021) with PEFT's encoders: embeddings that an MLP, or a bidirectional LSTM with an MLP behind it, turns into the
 * virtual tokens. PEFT saves what the encoder gives and not the encoder, so the artefact is that of prompt tuning.
 */
export const pTuning: TrainableMethod<PTuningConfig> = {
  name: 'p-tuning',
  peftType: 'P_TUNING',
  sharesProduct: true,

  parameters: (config) => encoderOf(config),

  initialise(config, parameter, values, rng) {
    initialiseEncoder(encoderOf(config), parameter, values, rng);
  },

  bind(config, _base, tensors, { dropoutRng }) {
    const { num_virtual_tokens: N } = config;
    return {
      ...baseHooks,
      numVirtual: N,
      embed(g, rows, x) {
        const copies = virtualRows(rows, N);
        if (copies.to.length > 0) replaceRows(g, x, encode(g, config, tensors, dropoutRng), copies);
      },
    };
  },

  fold: (config, base, tensors) => new Map([[PROMPT_EMBEDDINGS, encodedOnce(config, base, tensors)]]),

  compile: (_config, _base, tensors) => compileEmbeddings(tensors),
};

/** @throws CONFIG_INVALID without a size */
function encoderOf(config: PTuningConfig): EncoderParameter[] {
  const { num_virtual_tokens: N, token_dim: D, encoder_hidden_size: H, encoder_num_layers: layers } = config;
  if (H === null) {
    fail('CONFIG_INVALID', 'encoder_hidden_size is null: P-tuning trains an encoder, which needs a size', {
      param: 'encoder_hidden_size',
    });
  }
  const embedding = embeddingParameter(N, D);
  if (config.encoder_reparameterization_type === 'LSTM') {
    return [
      embedding,
      ...lstmParameters('lstm_head', D, H, layers),
      ...linearParameters('mlp_head.0', 2 * H, 2 * H),
      ...linearParameters('mlp_head.2', 2 * H, D),
    ];
  }
  return [
    embedding,
    ...linearParameters('mlp_head.0', D, H),
    ...linearParameters('mlp_head.2', H, H),
    ...linearParameters('mlp_head.4', H, D),
  ];
}

/** The virtual tokens, [N, D]. */
function encode(g: Graph, config: PTuningConfig, tensors: AdapterTensors, dropoutRng: Rng | undefined): Tensor {
  const embedding = requireTensor(tensors, encoderName('embedding.weight'));
  const linear = (module: string, x: Tensor): Tensor => encoderLinear(g, tensors, module, x);
  const relu = (x: Tensor): Tensor => activate(g, x, 'relu');
  if (config.encoder_reparameterization_type === 'LSTM') {
    const between = (x: Tensor): Tensor => (dropoutRng ? dropout(g, x, config.encoder_dropout, dropoutRng) : x);
    const states = encoderLstm(g, tensors, 'lstm_head', embedding, config.encoder_num_layers, between);
    return linear('mlp_head.2', relu(linear('mlp_head.0', states)));
  }
  return linear('mlp_head.4', relu(linear('mlp_head.2', relu(linear('mlp_head.0', embedding)))));
}

function encodedOnce(config: PTuningConfig, { kernels }: BaseModel, tensors: AdapterTensors): Tensor {
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  const { shape, data } = encode(g, config, tensors, undefined);
  return { shape, data: data.slice() };
}
