/**
 * adapters: PEFT methods, applied to the model from outside at named sites, and their artefacts.
 * Owns: the method interface, row primitives, the artefact's identity, the proof that an adapter works.
 * May import: base numeric formats model.   Called by: training serving planning app.
 * Runs on: any thread.
 * Throws: ADAPTER_INVALID CONFIG_INVALID REQUEST_INVALID TARGET_UNMATCHED.
 */
export type {
  AdapterTensors,
  DenseLinear,
  Method,
  ParameterSpec,
  StepRule,
  TrainableMethod,
  TrainingMode,
} from './method.ts';
export { METHODS, methodOf, TRAINABLE_METHODS, trainableMethodOf } from './methods/index.ts';
export { loraParameters } from './methods/lora.ts';
export { loraScales } from './methods/lora-scales.ts';
export {
  BASE_ADAPTER,
  spanHooks,
  type ClassesHead,
  type CompiledAdapter,
  type EmbeddingPart,
  type HeadPart,
  type RowPrimitive,
  type RowSpan,
  type TokenRows,
  type VirtualTokens,
} from './primitives.ts';
export {
  evaFactors,
  loftqFactors,
  loraGaFactors,
  oloraFactors,
  pissaFactors,
  type LoraPair,
  type StartSite,
} from './start/factors.ts';
export { asPlainLora, withoutStart, type LoraStart } from './start/residual.ts';
export { packAdapter } from './pack.ts';
export { adapterTensors } from './compiled.ts';
export { passHooks } from './pass-hooks.ts';
export { loraTargets, resolveTargets, TARGET_PRESETS, targetsOf, type TargetFields } from './targets.ts';
export {
  artefactDigest,
  compileAdapter,
  readArtefact,
  writeArtefact,
  type Adapter,
  type ArtefactBase,
  type WrittenArtefact,
} from './artefact.ts';
export { ggufLora, writeGgufLora, type GgufLora } from './gguf-lora.ts';
export { mlxLora, writeMlxLora, type MlxLora } from './mlx-lora.ts';
export { mergedHooks, mergedLinear, mergeLayer } from './proof/merge.ts';
export {
  PARITY_TOLERANCES,
  probeAdapter,
  proveAdapter,
  type AdapterProof,
  type ParityProbe,
  type ProofOptions,
} from './proof/proof.ts';
export { checkMixable, composeAdapters, inMixOrder, isMixable, mixDigest, type MixPart } from './compose.ts';
export { convertToLora, type Conversion, type ConvertedModule, type LoraSize } from './combining/convert.ts';
export {
  COMBINATIONS,
  combineAdapters,
  prunes,
  type Combination,
  type CombineOptions,
  type CombinePart,
} from './combining/combine.ts';
export type { MajoritySign } from './combining/merge-rules.ts';
