import type { WeightFormat } from '../numeric/index.ts';
import type { ModelConfig } from './config.ts';
import { linearSites, type LinearRole } from './sites.ts';

/** A tensor of the base, by Hugging Face's name. */
export interface BaseTensor {
  readonly name: string;
  readonly kind: 'matrix' | 'vector';
  /** [out, in] or [length]. */
  readonly shape: readonly number[];
}

/** Matrices that are no linear layer of a block. */
const TABLES = ['model.embed_tokens.weight', 'lm_head.weight'];

/**
 * How a matrix is stored in a base of a format: as the format says, but the embedding table and the head of a base in NF4 stay in bfloat16,
 * as in QLoRA (Dettmers et al., 2023).
 */
export function matrixFormat(name: string, format: WeightFormat): WeightFormat {
  return format === 'nf4' && TABLES.includes(name) ? 'bf16' : format;
}

/** GGUF's names of the layers. */
export const GGUF_ROLES: Readonly<Record<LinearRole, string>> = {
  q_proj: 'attn_q',
  k_proj: 'attn_k',
  v_proj: 'attn_v',
  o_proj: 'attn_output',
  gate_proj: 'ffn_gate',
  up_proj: 'ffn_up',
  down_proj: 'ffn_down',
};

const GGUF_NORMS: Record<string, string> = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
};

/** Every tensor that the model needs, in file order. */
export function baseTensors(config: ModelConfig): BaseTensor[] {
  const { hiddenSize: D, vocabSize: V } = config;
  const tensors: BaseTensor[] = [{ name: 'model.embed_tokens.weight', kind: 'matrix', shape: [V, D] }];
  for (const site of linearSites(config)) {
    tensors.push({ name: `${site.path}.weight`, kind: 'matrix', shape: [site.out, site.in] });
    if (site.hasBias) {
      tensors.push({ name: `${site.path}.bias`, kind: 'vector', shape: [site.out] });
    }
  }
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `model.layers.${layer}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) {
      tensors.push({ name: `${prefix}.${norm}.weight`, kind: 'vector', shape: [D] });
    }
    if (!config.queryKeyNorm) continue;
    for (const norm of ['self_attn.q_norm', 'self_attn.k_norm']) {
      tensors.push({ name: `${prefix}.${norm}.weight`, kind: 'vector', shape: [config.headWidth] });
    }
  }
  tensors.push({ name: 'model.norm.weight', kind: 'vector', shape: [D] });
  if (!config.tieEmbeddings) tensors.push({ name: 'lm_head.weight', kind: 'matrix', shape: [V, D] });
  return tensors;
}

/** The GGUF name of a tensor that has Hugging Face's `name`. */
export function ggufName(name: string): string {
  const whole: Record<string, string> = {
    'model.embed_tokens.weight': 'token_embd.weight',
    'model.norm.weight': 'output_norm.weight',
    'lm_head.weight': 'output.weight',
  };
  const known = whole[name];
  if (known) return known;
  const [, layer, module, suffix] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const role = module?.split('.').at(-1) as LinearRole | undefined;
  const part = GGUF_NORMS[module ?? ''] ?? (role ? GGUF_ROLES[role] : undefined);
  if (part === undefined) throw new Error(`no GGUF name for ${name}`);
  return `blk.${layer}.${part}.${suffix}`;
}

/**
 * Puts rows that GGUF's llama converter arranged for pairwise rotation (x[2i], x[2i+1]) back into halves (x[i], x[i+E/2]).
 * @param rows [heads · E, columns]
 */
export function unpermuteRows(rows: Float32Array, headWidth: number, columns: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let row = 0; row < rows.length / columns; row++) {
    const source = pairedRow(row, headWidth);
    result.set(rows.subarray(source * columns, (source + 1) * columns), row * columns);
  }
  return result;
}

/** The way back of {@link unpermuteRows}: rows in halves are arranged for pairwise rotation, as GGUF's llama converter does. */
export function permuteRows(rows: Float32Array, headWidth: number, columns: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let row = 0; row < rows.length / columns; row++) {
    result.set(rows.subarray(row * columns, (row + 1) * columns), pairedRow(row, headWidth) * columns);
  }
  return result;
}

/** Where GGUF has a row whose place among halves is `row`. */
function pairedRow(row: number, headWidth: number): number {
  const head = Math.floor(row / headWidth) * headWidth;
  const [inHead, half] = [row - head, headWidth / 2];
  return head + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
}
