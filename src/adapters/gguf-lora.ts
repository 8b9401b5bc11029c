import { assert, fail } from '../base/index.ts';
import { idsOf, writeGguf, type GgufFloats, type GgufPair } from '../formats/index.ts';
import { FAMILIES, ggufName, permuteRows, type LinearSite, type ModelConfig } from '../model/index.ts';
import type { Adapter } from './artefact.ts';
import { loraDeltas } from './methods/lora.ts';
import { loraTargets } from './targets.ts';

/** An adapter as llama.cpp reads it. */
export interface GgufLora {
  readonly pairs: ReadonlyMap<string, GgufPair>;
  readonly tensors: ReadonlyMap<string, GgufFloats>;
}

/**
 * A LoRA in llama.cpp's form: for each module `<tensor of the base>.lora_a` [R, in] and `.lora_b` [out, R], which it scales by
 * `adapter.lora.alpha` / R. That alpha is chosen so that the scale is right where most modules are plain; what differs (rank-stabilised
 * scales, patterns of rank and alpha) is multiplied into B. Rows of B for queries and keys are put in the order in which the base's GGUF
 * has its own.
 * @param taskName told to whoever lists the adapter
 * @throws ADAPTER_INVALID names what llama.cpp cannot hold
 */
export function ggufLora(
  { config, tensors }: Adapter,
  base: { readonly config: ModelConfig; readonly sites: readonly LinearSite[] },
  taskName: string,
): GgufLora {
  const refuse = (what: string): never =>
    fail('ADAPTER_INVALID', `${what}: a GGUF adapter holds plain LoRA only; export it as a PEFT folder`);
  if (config.peft_type !== 'LORA') return refuse(`the method is ${config.peft_type}`);
  if (config.use_dora) refuse('use_dora scales outputs');
  if (config.lora_bias) refuse('lora_bias adds a bias');
  if (config.modules_to_save !== null) refuse('modules_to_save trains whole modules');
  const { embedding, head } = loraTargets(config, base.sites);
  if (embedding || head) refuse('target_modules has the embedding or the head');
  if (idsOf(config.trainable_token_indices).length > 0) refuse('trainable_token_indices trains rows of the embedding');
  const family = FAMILIES.find(({ name }) => name === base.config.family);
  assert(family, 'a model has a family');
  const deltas = loraDeltas(config, base.sites, tensors);
  const [first] = deltas;
  assert(first, 'an adapter without a module is refused when it is read');
  const alpha = Math.fround(first.scale * rankOf(first.a_RI.shape));
  const named = new Map<string, GgufFloats>();
  for (const { site, a_RI, b_OR, scale } of deltas) {
    const rank = rankOf(a_RI.shape);
    const name = ggufName(`${site.path}.weight`);
    const rows = scaled(b_OR.data as Float32Array, scale / (alpha / rank));
    const isRotated = family.ggufPermutesQueryKey && (site.role === 'q_proj' || site.role === 'k_proj');
    named.set(`${name}.lora_a`, { shape: [rank, site.in], data: a_RI.data as Float32Array });
    named.set(`${name}.lora_b`, {
      shape: [site.out, rank],
      data: isRotated ? permuteRows(rows, base.config.headWidth, rank) : rows,
    });
  }
  const pairs = new Map<string, GgufPair>([
    ['general.architecture', { type: 'string', value: family.ggufArchitectures[0] }],
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.name', { type: 'string', value: taskName }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'f32', value: alpha }],
    ['adapter.lora.task_name', { type: 'string', value: taskName }],
  ]);
  return { pairs, tensors: named };
}

/** Writes {@link ggufLora}. @returns the file's size in bytes */
export function writeGgufLora(path: string, { pairs, tensors }: GgufLora): number {
  return writeGguf(path, pairs, tensors);
}

function rankOf(shape: readonly number[]): number {
  const [rank] = shape;
  assert(rank !== undefined && rank > 0, 'A has a row for each rank');
  return rank;
}

/** As it is where nothing is to be multiplied: most adapters stay bit for bit. */
function scaled(values: Float32Array, factor: number): Float32Array {
  return factor === 1 ? values : values.map((value) => value * factor);
}
