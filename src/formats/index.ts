/**
 * formats: bytes to values and back: safetensors, GGUF, PEFT folders, JSON Lines, digests.
 * Owns: the limits on files from outside, the names of a PEFT folder's files.
 * May import: base.   Called by: text model adapters training serving registry tenancy jobs planning http app.
 * Runs on: any thread.
 * Throws: FILE_INVALID FILE_NOT_FOUND DATA_INVALID ADAPTER_INVALID CONFIG_INVALID.
 */
export * as limits from './limits.ts';
export { openSafetensors, parseSafetensors, type SafetensorsFile } from './safetensors.ts';
export type { SafetensorsTensor } from './safetensors-header.ts';
export { encodeSafetensors, writeSafetensors, type NamedTensor } from './safetensors-write.ts';
export { openGguf, parseGguf, type GgufFile } from './gguf.ts';
export type { GgufTensor, GgufValue } from './gguf-header.ts';
export { READABLE_GGML_TYPES } from './ggml-blocks.ts';
export { readShardIndex, parseShardIndex, type ShardIndex } from './hf-index.ts';
export { readJsonFile, parseJson, isRecord, type ParsedJson } from './json.ts';
export { fileInside, isPlainRelative } from './folder.ts';
export { readWholeFile } from './byte-source.ts';
export { parsePeftConfig, peftConfigText, configIdentity, type PeftConfig } from './peft-config.ts';
export { defaultLoraConfig, PEFT_VERSION, type LoraConfig } from './peft-lora-config.ts';
export { patternMatcher, type AdapterSite } from './peft-lora-tensors.ts';
export {
  readPeftFolder,
  writePeftFolder,
  checkAgainstSites,
  checkBaseName,
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  type PeftFolder,
  type PeftTensor,
} from './peft-folder.ts';
export { safeFullMatch } from './safe-regex.ts';
export { failOnLines, lineProblem, LineProblems, readRecords, type JsonRecord } from './jsonl.ts';
export {
  readTrainingFile,
  parseTrainingFile,
  type ChatExample,
  type CompletionExample,
  type TrainingExamples,
  type TrainingFile,
} from './chat-jsonl.ts';
export type { PreferenceExample } from './preference-jsonl.ts';
export { CHAT_ROLES, parseMessages, type ChatMessage, type ChatRole, type ToolCall } from './chat-message.ts';
export { digestOfBytes, digestOfFile, digestOfFiles, digestOfTensors, canonicalJson } from './digest.ts';
