import { ATTENTION_ROLES, type Family } from './family.ts';

/** Qwen3 (dense; Yang et al., 2025): RMSNorm on each head's query and key. */
export const qwen3: Family = {
  name: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  modelTypes: ['qwen3'],
  ggufArchitectures: ['qwen3'],
  ggufPermutesQueryKey: false,
  biasedRoles: (config) => (config.attention_bias ? ATTENTION_ROLES : []),
  queryKeyNorm: true,
};
