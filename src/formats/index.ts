/**
 * formats: bytes to values and back: safetensors, GGUF, bitsandbytes' NF4, PEFT folders, JSON Lines, digests.
 * Owns: the limits on files from outside, the names of a PEFT folder's files.
 * May import: base.   Called by: text model adapters training serving registry tenancy jobs planning http app.
 * Runs on: any thread.
 * Throws: FILE_INVALID FILE_NOT_FOUND DATA_INVALID ADAPTER_INVALID CONFIG_INVALID.
 */
export * as limits from './limits.ts';
export { openSafetensors, parseSafetensors, type SafetensorsFile } from './safetensors/safetensors.ts';
export type { SafetensorsTensor } from './safetensors/safetensors-header.ts';
export {
  encodeSafetensors,
  writeSafetensors,
  type LazyTensor,
  type NamedTensor,
} from './safetensors/safetensors-write.ts';
export { openGguf, parseGguf, type GgufFile } from './gguf/gguf.ts';
export { encodeGguf, writeGguf, type GgufFloats, type GgufPair } from './gguf/gguf-write.ts';
export type { GgufTensor, GgufValue } from './gguf/gguf-header.ts';
export { READABLE_GGML_TYPES } from './gguf/ggml-blocks.ts';
export {
  dequantiseNf4,
  isFourBit,
  nf4Tensors,
  readNf4,
  type Nf4Parts,
  type Nf4Tensor,
} from './bitsandbytes/nf4-tensors.ts';
export {
  describeProblem,
  findUnreadableQuantization,
  nf4QuantizationConfig,
} from './bitsandbytes/quantization-config.ts';
export { readShardIndex, parseShardIndex, type ShardIndex } from './safetensors/hf-index.ts';
export { readJsonFile, parseJson, isRecord, show, type ParsedJson } from './json.ts';
export { fileInside, isPlainRelative } from './folder.ts';
export { readWholeFile } from './byte-source.ts';
export {
  parsePeftConfig,
  peftConfigText,
  configIdentity,
  type ModuleConfig,
  type PeftConfig,
  type PromptConfig,
  numVirtualTokens,
} from './peft/peft-config.ts';
export {
  CLASSIFICATION,
  CLASSIFIER_MODULES,
  isClassifier,
  labelsProblem,
  scoreName,
  type Classes,
  type ClassifierInput,
} from './peft/classifier.ts';
export type { LabelledExample } from './data/labelled-jsonl.ts';
export { PEFT_VERSION } from './peft/configs/config-fields.ts';
export { adaloraRank, rankPatternKey, type AdaloraConfig } from './peft/configs/adalora-config.ts';
export type { BoftConfig } from './peft/configs/boft-config.ts';
export type { FourierftConfig } from './peft/configs/fourierft-config.ts';
export type { HraConfig } from './peft/configs/hra-config.ts';
export { defaultLoraConfig, type LoraConfig } from './peft/configs/lora-config.ts';
export type { Ia3Config } from './peft/configs/ia3-config.ts';
export type { LnTuningConfig } from './peft/configs/ln-tuning-config.ts';
export type { LohaConfig, LokrConfig } from './peft/configs/lycoris-config.ts';
export { missForm, type MissConfig } from './peft/configs/miss-config.ts';
export type { OftConfig } from './peft/configs/oft-config.ts';
export type { PrefixTuningConfig, PromptTuningConfig, PTuningConfig } from './peft/configs/prompt-config.ts';
export type { RandloraConfig } from './peft/configs/randlora-config.ts';
export type { TrainableTokensConfig } from './peft/configs/trainable-tokens-config.ts';
export type { VbloraConfig } from './peft/configs/vblora-config.ts';
export type { VeraConfig } from './peft/configs/vera-config.ts';
export { idsOf } from './peft/configs/token-indices.ts';
export { parameterNamesOf, patternPath } from './peft/parameter-targets.ts';
export { patternMatcher } from './peft/pattern-matcher.ts';
export { boftBlocks, fourierPositions, frequencyCounts, missShape } from './peft/layouts/delta-layouts.ts';
export { layoutOf } from './peft/layouts/layout-of.ts';
export { biasName, LORA_TOKEN_ROWS } from './peft/layouts/lora-layout.ts';
export { feedforwardMatcher, LN_GAIN, lokrShapes, oftBlocks, VERA_A, VERA_B } from './peft/layouts/module-layouts.ts';
export {
  RANDLORA_A,
  RANDLORA_B,
  randloraShared,
  randloraSizes,
  vbloraTiles,
  VECTOR_BANK,
} from './peft/layouts/shared-layouts.ts';
export { PROMPT_EMBEDDINGS } from './peft/layouts/prompt-layout.ts';
export {
  EMBEDDING_PATH,
  HEAD_PATH,
  tensorName,
  type AdapterBase,
  type AdapterSite,
} from './peft/layouts/tensor-layout.ts';
export { savedModules, savedNames, type SavedModule } from './peft/layouts/saved-modules.ts';
export { HEAD_TOKEN_ROWS, TOKEN_ROWS } from './peft/layouts/token-layout.ts';
export {
  readPeftFiles,
  readClasses,
  readPeftFolder,
  writePeftFolder,
  checkAgainstBase,
  checkBaseName,
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  type PeftFiles,
  type PeftFolder,
  type PeftTensor,
} from './peft/peft-folder.ts';
export { safeFullMatch } from './peft/safe-regex.ts';
export { failOnLines, lineProblem, LineProblems, readRecords, type JsonRecord } from './data/jsonl.ts';
export {
  readTrainingFile,
  parseTrainingFile,
  type ChatExample,
  type CompletionExample,
  type TrainingExamples,
  type TrainingFile,
} from './data/chat-jsonl.ts';
export type { PreferenceExample } from './data/preference-jsonl.ts';
export type { RatedExample } from './data/rated-jsonl.ts';
export { EventFile, type ScalarEvent } from './tensorboard/event-file.ts';
export { joinTextParts, parseMessages, type ChatMessage, type ChatRole, type ToolCall } from './data/chat-message.ts';
export { compareText, digestOfBytes, digestOfFile, digestOfFiles, digestOfTensors, canonicalJson } from './digest.ts';
