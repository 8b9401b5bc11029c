/**
 * app: composes the rooms into what the commands do; the only room that knows all the others.
 * Owns: the layout of ESPALIER_HOME, the environment variables.
 * May import: base numeric formats storage text model adapters training serving registry delivery tenancy audit jobs planning hub demo http grammar.   Called by: cli.
 * Runs on: the main thread.
 * Throws: USAGE_INVALID REQUEST_INVALID DATA_INVALID CHECKPOINT_INVALID ADAPTER_INVALID ADAPTER_NOT_FOUND ADAPTER_UNAVAILABLE ENGINE_UNAVAILABLE ADAPTER_IN_USE
 *   PROMOTION_REFUSED DELIVERY_NOT_FOUND CONFIG_INVALID TENANT_NOT_FOUND TENANT_IN_USE KEY_INVALID STORAGE_BUSY CANCELLED FILE_NOT_FOUND DIGEST_MISMATCH
 *   MODEL_NOT_FOUND MODEL_INVALID TRAINER_DIED.
 */
export { COMPUTES, readConfig, type AppConfig, type Compute } from './config.ts';
export { VERSION } from './version.ts';
export { serverLog } from './log.ts';
export { openPlatform, type Platform } from './platform.ts';
export { pullModel, resolveBase, type Base, type ModelProgress } from './bases.ts';
export { parseMessages } from './messages.ts';
export { checkData, dryRun, type CheckOptions, type DataReport, type DryRun } from './data.ts';
export type { PreviewedExample } from './data-preview.ts';
export { DEFAULT_VALID_SHARE, TRAIN_DEFAULTS, type TrainOptions } from './runs/train-options.ts';
export { trainAdapter, type TrainEvents, type TrainOutcome } from './runs/train.ts';
export type { TrainerSignals } from './runs/trainer-process.ts';
export {
  trainGroup,
  type GroupOptions,
  type GroupOutcome,
  type GroupRun,
  type RunningGroup,
} from './runs/train-group.ts';
export { sweep, type SweepEvents, type SweepOptions, type SweepReport, type SweepRow } from './runs/sweep.ts';
export { TRAINER_FLAGS } from './runs/trainer-process.ts';
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
  removeAdapter,
  showAdapter,
  tagAdapter,
  verifyAdapters,
  type ExportFormat,
} from './adapters/adapters.ts';
export {
  combineToAdapter,
  convertAdapter,
  type CombineRequest,
  type ConvertedAdapter,
  type ConvertOptions,
  type WrittenAdapter,
} from './adapters/combining.ts';
export { mergeIntoBase, type MergedModel, type MergeOptions } from './adapters/merge-into-base.ts';
export { COMBINATIONS, prunes, type Combination, type MajoritySign } from '../adapters/index.ts';
export { MODEL_DTYPES, type ModelDtype } from '../model/index.ts';
export { retrainAdapters, type RetrainOptions, type RetrainRow } from './retrain/retrain.ts';
export { quantiseBase, type QuantisedBase } from './quantise.ts';
export { commandJob, jobEvents, listJobs, showJob } from './jobs.ts';
export { JOB_COMMANDS, type Job, type JobCommand, type JobEvent } from '../jobs/index.ts';
export { collectAdapters, outdated, type RetentionReport } from './adapters/retention.ts';
export { showRoutes, splitRoute } from './adapters/task-routes.ts';
export {
  clearGate,
  deliveryEvents,
  promoteAdapter,
  rollbackAdapter,
  setGate,
  shadowReport,
  showCanary,
  startCanary,
  startShadow,
  stopCanary,
  stopShadow,
  type GateOptions,
} from './delivery/commands.ts';
export {
  CANARY_DEFAULTS,
  type CanaryReport,
  type CanarySettings,
  type Gate,
  type ShadowReport,
} from '../delivery/index.ts';
export { makePlan, type PlanRequest } from './plan.ts';
export { serve, type ServeOptions, type Serving } from './serve.ts';
export { prepareStart, START_BASE, type StartedTenant } from './start.ts';
export { benchDecode, benchTrain, type BenchCase } from './bench/train-and-decode.ts';
export { calibrate } from './bench/calibrate.ts';
export { writeDenseExamples } from './bench/dense-examples.ts';
export { POPULARITIES, type Popularity } from './bench/adapters.ts';
export { benchLoad, LOAD_CASES, type LoadCase, type LoadCaseName } from './bench/load.ts';
export { benchServe, type ServeCase } from './bench/serve.ts';
export { WEIGHT_FORMATS, type WeightFormat } from '../numeric/index.ts';
export { doubtsOf, PLANNED_METHODS, renderPlan, type Plan } from '../planning/index.ts';
export { DEFAULT_MICRO_BATCH_TOKENS, LORA_STARTS, OBJECTIVES, SCHEDULES as SCHEDULE_NAMES } from '../training/index.ts';
export { importModel, listModels, removeModel, showModel, type ModelManifest } from '../hub/index.ts';
export { changeTenant, createTenant, removeTenant, storedUsage, type StoredUsage } from './tenants.ts';
export { ACTOR_CLI } from './governance/entries.ts';
export { encryptHome, type SealReport } from './governance/encryption.ts';
export { eraseTenantCommand } from './governance/erasure.ts';
export { createKey, revokeKey } from './governance/keys.ts';
export { listAudit, verifyAudit } from './governance/audit.ts';
export { listPrices, readBill, setPrices } from './governance/usage.ts';
export {
  BILL_GROUPS,
  billCsv,
  costText,
  PRICE_NAMES,
  type BillGroup,
  type BillLine,
  type TokenPrices,
} from '../tenancy/index.ts';
export type { AuditHead } from '../audit/index.ts';
export { ROLES, type Role, type Tenant, type TenantLimits } from '../tenancy/index.ts';
export type { AdapterVersion } from '../registry/index.ts';
