/**
 * adapters: PEFT methods, applied to the model from outside at named sites, and their artefacts.
 * Owns: the method interface, row primitives, the artefact's identity.
 * May import: base numeric formats model.   Called by: training serving app.
 * Runs on: any thread.
 * Throws: ADAPTER_INVALID CONFIG_INVALID REQUEST_INVALID TARGET_UNMATCHED.
 */
export type { AdapterTensors, Method, ParameterSpec, TrainingMode } from './method.ts';
export { METHODS, methodOf } from './methods/index.ts';
export { loraScales } from './methods/lora.ts';
export { BASE_ADAPTER, spanHooks, type CompiledAdapter, type RowPrimitive, type RowSpan } from './primitives.ts';
export { resolveTargets, TARGET_PRESETS, type TargetFields } from './targets.ts';
export { artefactDigest, compileAdapter, readArtefact, writeArtefact, type Adapter } from './artefact.ts';
export { composeAdapters, inMixOrder, mixDigest, type MixPart } from './compose.ts';
