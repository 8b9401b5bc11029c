import type { z } from 'zod';
import { fail } from '../base/index.ts';
import { configSchema, type ropeSchema } from './hf-config.ts';
import { familyOfArchitecture, familyOfModelType } from './families/index.ts';
import { LINEAR_ROLES, type LinearRole } from './sites.ts';
import { GGUF_ROLES } from './tensor-names.ts';

/** How RoPE frequencies are stretched beyond the pre-training length. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  /** GGUF's form: each pair's frequency is divided by a factor of its own. */
  | { readonly type: 'factors'; readonly factors: readonly number[] };

/** The shape of a decoder: what forward.ts needs and nothing else. Field names are the field's, units are elements. */
export interface ModelConfig {
  /** Name of the family's file: `llama`, `qwen2`, `qwen3`. */
  readonly family: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headWidth: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  /** The head is the transposed embedding table. */
  readonly tieEmbeddings: boolean;
  /** The layers that have biases: q, k and v in Qwen2. */
  readonly biasedRoles: readonly LinearRole[];
  /** Queries and keys are normalised per head before the rotation (Qwen3). */
  readonly queryKeyNorm: boolean;
}

/**
 * Reads a Hugging Face `config.json` of a known family.
 * @param where names the file in errors
 * @throws MODEL_INVALID names the field; MODEL_UNSUPPORTED a model type or a setting that would change the maths
 */
export function parseModelConfig(json: unknown, where: string): ModelConfig {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue?.path.join('.') || 'the document';
    fail('MODEL_INVALID', `${where}: ${field}: ${issue?.message ?? 'is not valid'}`, { param: field });
  }
  const fields = parsed.data;
  const family = familyOfModelType(fields.model_type);
  if (!family) {
    fail('MODEL_UNSUPPORTED', `${where}: model_type ${JSON.stringify(fields.model_type)} is not a known family`, {
      param: 'model_type',
    });
  }
  if (fields.hidden_act !== 'silu') unsupported(where, 'hidden_act', fields.hidden_act);
  if (fields.mlp_bias === true) unsupported(where, 'mlp_bias', true);
  if (fields.use_sliding_window === true) unsupported(where, 'use_sliding_window', true);
  const numKeyValueHeads = fields.num_key_value_heads ?? fields.num_attention_heads;
  if (fields.num_attention_heads % numKeyValueHeads !== 0) {
    fail(
      'MODEL_INVALID',
      `${where}: num_key_value_heads ${numKeyValueHeads} does not divide num_attention_heads ${fields.num_attention_heads}`,
      { param: 'num_key_value_heads' },
    );
  }
  if (fields.head_dim == null && fields.hidden_size % fields.num_attention_heads !== 0) {
    fail(
      'MODEL_INVALID',
      `${where}: num_attention_heads ${fields.num_attention_heads} does not divide hidden_size ${fields.hidden_size}`,
      { param: 'num_attention_heads' },
    );
  }
  const rope = fields.rope_parameters ?? fields.rope_scaling ?? {};
  const headWidth = fields.head_dim ?? fields.hidden_size / fields.num_attention_heads;
  if (headWidth % 2 !== 0) fail('MODEL_INVALID', `${where}: head_dim ${headWidth} is odd`, { param: 'head_dim' });
  return {
    family: family.name,
    vocabSize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    intermediateSize: fields.intermediate_size,
    numLayers: fields.num_hidden_layers,
    numHeads: fields.num_attention_heads,
    numKeyValueHeads,
    headWidth,
    normEpsilon: fields.rms_norm_eps,
    ropeTheta: rope.rope_theta ?? fields.rope_theta ?? 10_000,
    ropeScaling: parseRopeScaling(rope, where),
    contextLength: fields.max_position_embeddings,
    tieEmbeddings: fields.tie_word_embeddings ?? false,
    biasedRoles: family.biasedRoles(fields),
    queryKeyNorm: family.queryKeyNorm,
  };
}

function parseRopeScaling(rope: z.infer<typeof ropeSchema>, where: string): RopeScaling | null {
  const type = rope.rope_type ?? rope.type ?? 'default';
  const need = (field: keyof typeof rope): number => {
    const value = rope[field];
    if (typeof value === 'number') return value;
    return fail('MODEL_INVALID', `${where}: rope_scaling of type ${type} needs ${String(field)}`, {
      param: `rope_scaling.${String(field)}`,
    });
  };
  switch (type) {
    case 'default':
      return null;
    case 'linear':
      return { type, factor: need('factor') };
    case 'llama3':
      return {
        type,
        factor: need('factor'),
        lowFrequencyFactor: need('low_freq_factor'),
        highFrequencyFactor: need('high_freq_factor'),
        originalContextLength: need('original_max_position_embeddings'),
      };
    default:
      return unsupported(where, 'rope_scaling.rope_type', type);
  }
}

function unsupported(where: string, field: string, value: unknown): never {
  fail('MODEL_UNSUPPORTED', `${where}: ${field} = ${JSON.stringify(value)} is not supported`, { param: field });
}

/** What stands in a GGUF file's tensors instead of its metadata. */
export interface GgufExtras {
  readonly vocabSize: number;
  /** `rope_freqs.weight`. */
  readonly ropeFactors: readonly number[] | null;
}

/**
 * The same from GGUF metadata: keys are `<architecture>.<field>`.
 * @param hasTensor tells untied heads and biases, which GGUF does not state
 */
export function parseGgufConfig(
  metadata: ReadonlyMap<string, unknown>,
  hasTensor: (name: string) => boolean,
  { vocabSize, ropeFactors }: GgufExtras,
  where: string,
): ModelConfig {
  const architecture = metadata.get('general.architecture');
  const family = typeof architecture === 'string' ? familyOfArchitecture(architecture) : undefined;
  if (!family) {
    fail('MODEL_UNSUPPORTED', `${where}: general.architecture ${JSON.stringify(architecture)} is not a known family`, {
      param: 'general.architecture',
    });
  }
  const get = (key: string): unknown => {
    const value = metadata.get(`${String(architecture)}.${key}`);
    return typeof value === 'bigint' ? Number(value) : value;
  };
  const scalingType = get('rope.scaling.type');
  const ropeScaling =
    typeof scalingType === 'string' && scalingType !== 'none'
      ? { rope_type: scalingType, factor: get('rope.scaling.factor') }
      : null;
  const config = parseModelConfig(
    {
      model_type: family.modelTypes[0],
      vocab_size: get('vocab_size') ?? vocabSize,
      hidden_size: get('embedding_length'),
      intermediate_size: get('feed_forward_length'),
      num_hidden_layers: get('block_count'),
      num_attention_heads: get('attention.head_count'),
      num_key_value_heads: get('attention.head_count_kv'),
      head_dim: get('attention.key_length'),
      rms_norm_eps: get('attention.layer_norm_rms_epsilon'),
      rope_theta: get('rope.freq_base'),
      rope_scaling: ropeScaling,
      max_position_embeddings: get('context_length'),
      tie_word_embeddings: !hasTensor('output.weight'),
    },
    where,
  );
  return {
    ...config,
    biasedRoles: LINEAR_ROLES.filter((role) => hasTensor(`blk.0.${GGUF_ROLES[role]}.bias`)),
    ...(ropeFactors !== null && { ropeScaling: { type: 'factors' as const, factors: ropeFactors } }),
  };
}
