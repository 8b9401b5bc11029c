import type { Family } from './family.ts';

/** Qwen2 and Qwen2.5 (Yang et al., 2024): Llama with biases on q, k and v. */
export const qwen2: Family = {
  name: 'qwen2',
  architecture: 'Qwen2ForCausalLM',
  modelTypes: ['qwen2'],
  ggufArchitectures: ['qwen2'],
  ggufPermutesQueryKey: false,
  biasedRoles: () => ['q_proj', 'k_proj', 'v_proj'],
  queryKeyNorm: false,
};
