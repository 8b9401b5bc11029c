/**
 * model: frozen decoders of the Llama and Qwen families: config, packed weights, forward pass, named sites.
 * Owns: the packed file's layout.
 * May import: base numeric formats.   Called by: adapters training serving app.
 * Runs on: any thread.
 * Throws: MODEL_INVALID MODEL_NOT_FOUND MODEL_UNSUPPORTED CONTEXT_TOO_LONG.
 */
export { parseModelConfig, parseGgufConfig, type ModelConfig, type RopeScaling } from './config.ts';
export { FAMILIES } from './families/index.ts';
export {
  linearSites,
  normSites,
  siteIndex,
  baseHooks,
  type LinearRole,
  type LinearSite,
  type NormSite,
  type NormRole,
  type InputRows,
  type SiteHooks,
} from './sites.ts';
export { assembleBase, normGain, type BaseModel, type WeightReader } from './base-model.ts';
export { forward, headOf, headRows, logitsAt, attendPacked, type Attend, type ForwardInput } from './forward.ts';
export { baseTensors, ggufName, matrixFormat, permuteRows, unpermuteRows } from './tensor-names.ts';
export { openSource, type WeightSource } from './source.ts';
export { writeNf4Folder, type WrittenNf4 } from './write-nf4.ts';
export { openBase, loadBase, type OpenBaseOptions } from './open.ts';
export { MODEL_DTYPES, writeModelFolder, type ModelDtype, type ModelFolder } from './write-folder.ts';
