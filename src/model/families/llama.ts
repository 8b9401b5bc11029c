import { ATTENTION_ROLES, type Family } from './family.ts';

/** Llama 2 and 3 (Touvron et al., 2023; Dubey et al., 2024), SmolLM2 and others of the same shape. */
export const llama: Family = {
  name: 'llama',
  architecture: 'LlamaForCausalLM',
  modelTypes: ['llama'],
  ggufArchitectures: ['llama'],
  ggufPermutesQueryKey: true,
  biasedRoles: (config) => (config.attention_bias ? ATTENTION_ROLES : []),
  queryKeyNorm: false,
};
