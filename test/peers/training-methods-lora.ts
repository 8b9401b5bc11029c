/** Cases of `npm run peers:training-methods` that are LoRA with more than its matrices, or on other targets than modules. */
import type { TrainingCase } from './training-case.ts';

const LORA = { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'o_proj'] };

export const LORA_CASES: readonly TrainingCase[] = [
  { name: 'lora with every bias of the base', config: { ...LORA, bias: 'all' }, base: 'tiny-qwen2' },
  {
    name: 'lora with the biases of its layers, and one of its own',
    config: { ...LORA, bias: 'lora_only', lora_bias: true },
    base: 'tiny-qwen2',
  },
  {
    name: 'dora with every bias of the base',
    config: { ...LORA, bias: 'all', use_dora: true, target_modules: ['k_proj', 'up_proj'] },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora on parameters',
    config: { ...LORA, target_modules: [], target_parameters: ['self_attn.q_proj.weight', '1.mlp.down_proj.weight'] },
  },
  {
    name: 'lora on modules and parameters, with biases',
    config: {
      ...LORA,
      bias: 'lora_only',
      use_rslora: true,
      target_parameters: ['k_proj.weight'],
      rank_pattern: { 'k_proj.weight': 3, k_proj: 7 },
    },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora on the embedding and the head as one',
    config: { ...LORA, target_modules: ['embed_tokens', 'q_proj'], ensure_weight_tying: true },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora on the head and the embedding as one, ranks by pattern',
    config: {
      ...LORA,
      target_modules: ['lm_head'],
      ensure_weight_tying: true,
      rank_pattern: { embed_tokens: 2, lm_head: 6 },
    },
    base: 'tiny-qwen2',
  },
];
