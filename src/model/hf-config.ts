import { z } from 'zod';

/** Caps against absurd files: the largest open models stay well below each. */
const positiveInteger = (max: number): z.ZodNumber => z.number().int().min(1).max(max);

export const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: positiveInteger(2 ** 24).optional(),
});

export const configSchema = z.looseObject({
  model_type: z.string(),
  vocab_size: positiveInteger(2 ** 22),
  hidden_size: positiveInteger(2 ** 17),
  intermediate_size: positiveInteger(2 ** 19),
  num_hidden_layers: positiveInteger(1024),
  num_attention_heads: positiveInteger(4096),
  num_key_value_heads: positiveInteger(4096).nullish(),
  head_dim: positiveInteger(4096).nullish(),
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  max_position_embeddings: positiveInteger(2 ** 24).default(2048),
  tie_word_embeddings: z.boolean().optional(),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  hidden_act: z.string().default('silu'),
  use_sliding_window: z.boolean().optional(),
});

export type HfConfig = z.infer<typeof configSchema>;
