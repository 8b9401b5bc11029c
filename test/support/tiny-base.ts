import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

/** A GGUF file of a tiny model. */
export const tinyGguf = join(golden, 'models', 'tiny-llama', 'tiny-llama.gguf');

/** Makes a Hugging Face folder of a tiny model, with a tokenizer. */
export function writeTinyFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const file of ['config.json', 'model.safetensors'])
    copyFileSync(join(golden, 'models', 'tiny-llama', file), join(folder, file));
  copyFileSync(join(golden, 'text', 'tiny-tokenizer.json'), join(folder, 'tokenizer.json'));
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"bos_token":"<|endoftext|>","eos_token":"<|im_end|>"}\n');
}
