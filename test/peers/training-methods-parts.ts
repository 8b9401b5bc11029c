/** Cases of `npm run peers:training-methods` that train something else than a change of linear layers. */
import type { TrainingCase } from './training-case.ts';

const NORMS = ['input_layernorm', 'post_attention_layernorm', 'norm'];
const LORA = { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'v_proj'] };

export const PART_CASES: readonly TrainingCase[] = [
  { name: 'prompt-tuning', config: { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 5 } },
  { name: 'p-tuning, MLP', config: { peft_type: 'P_TUNING', num_virtual_tokens: 4, encoder_hidden_size: 16 } },
  {
    name: 'p-tuning, LSTM',
    config: {
      peft_type: 'P_TUNING',
      num_virtual_tokens: 4,
      encoder_reparameterization_type: 'LSTM',
      encoder_hidden_size: 8,
      encoder_num_layers: 2,
    },
    base: 'tiny-qwen2',
  },
  { name: 'prefix-tuning', config: { peft_type: 'PREFIX_TUNING', num_virtual_tokens: 6 } },
  {
    name: 'prefix-tuning, projected',
    config: { peft_type: 'PREFIX_TUNING', num_virtual_tokens: 4, prefix_projection: true, encoder_hidden_size: 12 },
    base: 'tiny-qwen2',
  },
  { name: 'trainable-tokens', config: { peft_type: 'TRAINABLE_TOKENS', token_indices: [41, 7, 90] } },
  {
    name: 'trainable-tokens, tied head',
    config: { peft_type: 'TRAINABLE_TOKENS', token_indices: [41, 7, 90] },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora with trained tokens, tied head',
    config: { ...LORA, trainable_token_indices: [41, 7, 90] },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora with whole modules',
    config: { ...LORA, modules_to_save: ['embed_tokens', 'lm_head', 'norm'] },
  },
  {
    name: 'lora with a whole head, tied in the base',
    config: { ...LORA, modules_to_save: ['lm_head'] },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora on the embedding and the head',
    config: { ...LORA, target_modules: ['embed_tokens', 'lm_head', 'q_proj'] },
  },
  {
    name: 'lora with one copy of embedding and head',
    config: { ...LORA, modules_to_save: ['embed_tokens'], ensure_weight_tying: true },
    base: 'tiny-qwen2',
  },
  {
    name: 'lora on the embedding, tied head',
    config: { ...LORA, target_modules: ['embed_tokens', 'v_proj'] },
    base: 'tiny-qwen2',
  },
  { name: 'ln-tuning', config: { peft_type: 'LN_TUNING', target_modules: NORMS } },
  { name: 'ln-tuning, some norms', config: { peft_type: 'LN_TUNING', target_modules: ['norm'] }, base: 'tiny-qwen2' },
];
