import { cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fail, writeFileAtomicSync } from '../base/index.ts';
import {
  nf4QuantizationConfig,
  nf4Tensors,
  readJsonFile,
  writeSafetensors,
  type NamedTensor,
} from '../formats/index.ts';
import type { PackingKernels } from '../numeric/index.ts';
import { openSource } from './source.ts';
import { baseTensors, matrixFormat } from './tensor-names.ts';

export interface WrittenNf4 {
  readonly sizeBytes: number;
  /** Matrices in NF4. */
  readonly numMatrices: number;
}

/**
 * Writes a Hugging Face folder in NF4 with double quantisation, as Transformers and bitsandbytes save and open it. Embedding table, head, norms
 * and biases stay as they are: in bfloat16 where that loses nothing, else in float32. Files of the tokenizer are copied.
 * @param folder a Hugging Face folder whose weights are not quantised
 * @throws MODEL_UNSUPPORTED for a GGUF file, which has no config.json, and for a base that is quantised already
 */
export function writeNf4Folder(folder: string, target: string, kernels: PackingKernels): WrittenNf4 {
  const source = openSource(folder);
  try {
    if (!statSync(folder).isDirectory()) {
      fail('MODEL_UNSUPPORTED', `${folder}: is a GGUF file: NF4 is written of Hugging Face folders`);
    }
    const config = readJsonFile(join(folder, 'config.json')) as Record<string, unknown>;
    if (config['quantization_config']) fail('MODEL_UNSUPPORTED', `${folder}: is quantised already`);
    const tensors = new Map<string, NamedTensor>();
    let numMatrices = 0;
    for (const { name, kind, shape } of baseTensors(source.config)) {
      const values = source.read(name);
      if (kind === 'vector' || matrixFormat(name, 'nf4') !== 'nf4') {
        tensors.set(name, { shape, data: values, dtype: isBf16(values) ? 'BF16' : 'F32' });
        continue;
      }
      const parts = { ...kernels.quantiseNf4(values), shape: shape as [number, number], dtype: 'float32' as const };
      for (const [key, tensor] of nf4Tensors(name, parts)) tensors.set(key, tensor);
      numMatrices++;
    }
    mkdirSync(target, { recursive: true });
    const sizeBytes = writeSafetensors(join(target, 'model.safetensors'), tensors);
    const document = { ...config, quantization_config: nf4QuantizationConfig(true) };
    writeFileAtomicSync(join(target, 'config.json'), [Buffer.from(`${JSON.stringify(document, null, 2)}\n`)]);
    for (const file of readdirSync(folder)) {
      const isOther = file.endsWith('.safetensors') || file === 'config.json' || file.startsWith('model.');
      if (!isOther && /\.(json|jinja|txt|model)$/.test(file) && !existsSync(join(target, file))) {
        cpSync(join(folder, file), join(target, file));
      }
    }
    return { sizeBytes, numMatrices };
  } finally {
    source.close();
  }
}

function isBf16(values: Float32Array): boolean {
  return new Uint32Array(values.buffer, values.byteOffset, values.length).every((bits) => (bits & 0xffff) === 0);
}
