/**
 * app: composes the rooms into what the commands do; the only room that knows all the others.
 * Owns: the layout of ESPALIER_HOME, the environment variables.
 * May import: base numeric formats storage text model adapters training serving registry tenancy planning hub demo http grammar.   Called by: cli.
 * Runs on: the main thread.
 * Throws: USAGE_INVALID REQUEST_INVALID DATA_INVALID ADAPTER_INVALID ADAPTER_NOT_FOUND ADAPTER_UNAVAILABLE ENGINE_UNAVAILABLE.
 */
export { readConfig, type AppConfig } from './config.ts';
export { VERSION } from './version.ts';
export { serverLog } from './log.ts';
export { openPlatform, type Platform } from './platform.ts';
export { pullModel, resolveBase, type Base, type ModelProgress } from './bases.ts';
export { parseMessages } from './messages.ts';
export { checkData, type DataReport } from './data.ts';
export {
  parseTargets,
  trainAdapter,
  TRAINING_METHODS,
  TRAIN_DEFAULTS,
  type TrainEvents,
  type TrainOptions,
  type TrainOutcome,
} from './train.ts';
export { trainGroup, type GroupOptions, type GroupOutcome, type GroupRun, type RunningGroup } from './train-group.ts';
export { sweep, type SweepOptions, type SweepReport, type SweepRow } from './sweep.ts';
export { evaluateFile, METRICS, type EvaluateOptions, type EvaluateReport } from './evaluate.ts';
export { generateText, type Generated, type GenerateOptions } from './generate.ts';
export {
  exportAdapter,
  importAdapter,
  listAdapters,
  promoteAdapter,
  removeAdapter,
  rollbackAdapter,
  showAdapter,
  verifyAdapters,
} from './adapters.ts';
export { makePlan, type PlanRequest } from './plan.ts';
export { serve, type ServeOptions, type Serving } from './serve.ts';
export { prepareStart, START_BASE, type StartedTenant } from './start.ts';
export { benchDecode, benchTrain, type BenchCase } from './bench/train-and-decode.ts';
export { POPULARITIES, type Popularity } from './bench/adapters.ts';
export { benchLoad, LOAD_CASES, type LoadCase, type LoadCaseName } from './bench/load.ts';
export { benchServe, type ServeCase } from './bench/serve.ts';
export { PLANNED_METHODS, renderPlan, type Plan } from '../planning/index.ts';
export { SCHEDULES as SCHEDULE_NAMES } from '../training/index.ts';
export { importModel, listModels, removeModel, showModel, type ModelManifest } from '../hub/index.ts';
export { ROLES, type Role } from '../tenancy/index.ts';
export type { AdapterVersion } from '../registry/index.ts';
