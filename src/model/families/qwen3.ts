import type { Family } from './family.ts';

/** Qwen3 (dense; Yang et al., 2025): no biases, RMSNorm on each head's query and key. */
export const qwen3: Family = {
  name: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  modelTypes: ['qwen3'],
  ggufArchitectures: ['qwen3'],
  ggufPermutesQueryKey: false,
  attentionBias: (config) => config.attention_bias ?? false,
  queryKeyNorm: true,
};
