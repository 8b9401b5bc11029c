/**
 * Espalier as a library: what the command line does, as functions. {@link readConfig} says where things are; every function takes what
 * it returns, or a config of your own, first. They throw {@link EspalierError}, whose `code` is stable.
 *
 *     const config = readConfig();
 *     const { digest } = await trainAdapter(config, {
 *       ...TRAIN_DEFAULTS, base: 'smollm2-135m-instruct', data: 'train.jsonl', output: 'my-adapter',
 *     });
 */
export {
  checkData,
  dryRun,
  evaluateFile,
  exportAdapter,
  generateText,
  importAdapter,
  importModel,
  listAdapters,
  listModels,
  makePlan,
  METRICS,
  openPlatform,
  PLANNED_METHODS,
  promoteAdapter,
  pullModel,
  readConfig,
  removeAdapter,
  removeModel,
  repeatRun,
  renderPlan,
  resolveBase,
  rollbackAdapter,
  SCHEDULE_NAMES,
  serve,
  serverLog,
  showAdapter,
  showModel,
  trainAdapter,
  TRAIN_DEFAULTS,
  verifyAdapters,
  VERSION,
} from './app/index.ts';
export type {
  AdapterVersion,
  AppConfig,
  Base,
  DataReport,
  DryRun,
  EvaluateOptions,
  EvaluateReport,
  Generated,
  GenerateOptions,
  ModelManifest,
  ModelProgress,
  Plan,
  Platform,
  PlanRequest,
  RepeatedOutcome,
  RepeatOptions,
  ServeOptions,
  Serving,
  TrainEvents,
  TrainOptions,
  TrainOutcome,
} from './app/index.ts';
export { ApiError, EspalierClient, type ClientOptions } from './client/index.ts';
export { EspalierError, silentLog } from './base/index.ts';
export type { ErrorCode, ErrorKind, Log, Problem } from './base/index.ts';
