import { isRecord, show } from '../json.ts';

/** What `quantization_config` of a config.json asks for that cannot be read. */
export interface QuantizationProblem {
  /** The field's path. */
  readonly field: string;
  readonly value: unknown;
}

/**
 * Whether the `quantization_config` of a Hugging Face config.json describes weights that can be read: none at all, or bitsandbytes' 4-bit NF4.
 * @returns the field that stands in the way, or undefined
 */
export function findUnreadableQuantization(config: unknown): QuantizationProblem | undefined {
  const settings = isRecord(config) ? config['quantization_config'] : undefined;
  if (settings === undefined || settings === null) return undefined;
  if (!isRecord(settings)) return { field: 'quantization_config', value: settings };
  const expected: readonly [string, unknown][] = [
    ['quant_method', 'bitsandbytes'],
    ['load_in_8bit', false],
    ['load_in_4bit', true],
    ['bnb_4bit_quant_type', 'nf4'],
  ];
  for (const [field, value] of expected) {
    const actual = settings[field] ?? (field === 'load_in_8bit' ? false : undefined);
    if (actual !== value) return { field: `quantization_config.${field}`, value: actual };
  }
  return undefined;
}

/** The `quantization_config` of weights in NF4, as Transformers writes it. */
export function nf4QuantizationConfig(isNested: boolean): Record<string, unknown> {
  return {
    quant_method: 'bitsandbytes',
    load_in_4bit: true,
    load_in_8bit: false,
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: isNested,
    bnb_4bit_compute_dtype: 'float32',
    bnb_4bit_quant_storage: 'uint8',
    llm_int8_skip_modules: ['lm_head'],
    llm_int8_threshold: 6.0,
    llm_int8_has_fp16_weight: false,
    llm_int8_enable_fp32_cpu_offload: false,
  };
}

/** Says what stands in the way, for an error. */
export function describeProblem({ field, value }: QuantizationProblem): string {
  return `${field} = ${show(value)} is not supported: only bitsandbytes' 4-bit NF4 is`;
}
