/**
 * formats: bytes <-> values under named limits.
 * Owns: the limits.
 * May import: base.   Called by: everybody above.
 * Runs on: any thread.
 * Throws: FILE_INVALID FILE_NOT_FOUND CONFIG_INVALID DATA_INVALID ADAPTER_INVALID.
 */
export * from './safetensors.ts';
export * from './safetensors-write.ts';
export * from './gguf.ts';
export * from './digest.ts';
export * from './json.ts';
export * from './safe-regex.ts';
export * from './peft-config.ts';
export * from './peft-folder.ts';
export * from './hf-index.ts';
export { defaultLoraConfig, type LoraConfig } from './peft-lora-config.ts';
