import { PROMPT_EMBEDDINGS, type PrefixTuningConfig } from '../../formats/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { zerosLike } from '../dense.ts';
import { requireTensor, type Method } from '../method.ts';

/**
 * Prefix tuning (Li and Liang, 2021): trained keys and values stand before the prompt in every layer. PEFT stores a row for each virtual
 * token, [L, 2, G, E] in one line; here each layer's keys are together, as its attention reads them.
 */
export const prefixTuning: Method<PrefixTuningConfig> = {
  name: 'prefix-tuning',
  peftType: 'PREFIX_TUNING',

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
