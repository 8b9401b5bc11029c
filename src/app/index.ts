/**
 * app: composes the rooms into what the commands do; the only room that knows all the others.
 * Owns: the layout of ESPALIER_HOME, the environment variables.
 * May import: base numeric formats storage text model adapters training serving registry tenancy jobs planning hub demo http grammar.   Called by: cli.
 * Runs on: the main thread.
 * Throws: USAGE_INVALID REQUEST_INVALID DATA_INVALID ADAPTER_INVALID ADAPTER_NOT_FOUND ADAPTER_UNAVAILABLE ENGINE_UNAVAILABLE
 *   CONFIG_INVALID FILE_NOT_FOUND DIGEST_MISMATCH MODEL_NOT_FOUND MODEL_INVALID TRAINER_DIED.
 */
export { readConfig, type AppConfig } from './config.ts';
export { VERSION } from './version.ts';
export { serverLog } from './log.ts';
export { openPlatform, type Platform } from './platform.ts';
export { pullModel, resolveBase, type Base, type ModelProgress } from './bases.ts';
export { parseMessages } from './messages.ts';
export { checkData, dryRun, type CheckOptions, type DataReport, type DryRun, type PreviewedExample } from './data.ts';
export {
  DEFAULT_VALID_SHARE,
  trainAdapter,
  TRAIN_DEFAULTS,
  type TrainEvents,
  type TrainOptions,
  type TrainOutcome,
} from './runs/train.ts';
export {
  trainGroup,
  type GroupOptions,
  type GroupOutcome,
  type GroupRun,
  type RunningGroup,
} from './runs/train-group.ts';
export { sweep, type SweepOptions, type SweepReport, type SweepRow } from './runs/sweep.ts';
export { repeatRun, type RepeatedOutcome, type RepeatOptions } from './runs/repeat-run.ts';
export {
  flagOf,
  methodDefaults,
  parseTargets,
  TRAINING_METHODS,
  type MethodOption,
  type MethodOptions,
  type TrainMethod,
} from './runs/train-methods.ts';
export { evaluateFile, METRICS, type EvaluateOptions, type EvaluateReport } from './evaluate.ts';
export { generateText, type Generated, type GenerateOptions } from './generate.ts';
export {
  EXPORT_FORMATS,
  exportAdapter,
  importAdapter,
  listAdapters,
  promoteAdapter,
  removeAdapter,
  rollbackAdapter,
  showAdapter,
  tagAdapter,
  verifyAdapters,
  type ExportFormat,
} from './adapters/adapters.ts';
export { quantiseBase, type QuantisedBase } from './quantise.ts';
export { commandJob, jobEvents, listJobs, showJob } from './jobs.ts';
export { JOB_COMMANDS, type Job, type JobCommand, type JobEvent } from '../jobs/index.ts';
export { collectAdapters, outdated, type RetentionReport } from './adapters/retention.ts';
export { showRoutes, splitRoute } from './adapters/task-routes.ts';
export { makePlan, type PlanRequest } from './plan.ts';
export { serve, type ServeOptions, type Serving } from './serve.ts';
export { prepareStart, START_BASE, type StartedTenant } from './start.ts';
export { benchDecode, benchTrain, type BenchCase } from './bench/train-and-decode.ts';
export { POPULARITIES, type Popularity } from './bench/adapters.ts';
export { benchLoad, LOAD_CASES, type LoadCase, type LoadCaseName } from './bench/load.ts';
export { benchServe, type ServeCase } from './bench/serve.ts';
export { WEIGHT_FORMATS, type WeightFormat } from '../numeric/index.ts';
export { PLANNED_METHODS, renderPlan, type Plan } from '../planning/index.ts';
export { DEFAULT_MICRO_BATCH_TOKENS, LORA_STARTS, OBJECTIVES, SCHEDULES as SCHEDULE_NAMES } from '../training/index.ts';
export { importModel, listModels, removeModel, showModel, type ModelManifest } from '../hub/index.ts';
export { storedUsage, type StoredUsage } from './tenants.ts';
export { ROLES, type Role, type Tenant, type TenantLimits } from '../tenancy/index.ts';
export type { AdapterVersion } from '../registry/index.ts';
