/**
 * training: turns examples into adapters: packing, steps, optimizer, evaluation, checkpoints.
 * Owns: a run's state and its checkpoint.
 * May import: base numeric formats text model adapters.   Called by: app.
 * Runs on: a child process (child.ts); the types on the main thread.
 * Throws: DATA_INVALID TRAINING_DIVERGED CHECKPOINT_INVALID.
 */
export { countParameters, runJob } from './job.ts';
export type { FromGroup, FromTrainer, GroupJob, ToGroup, TrainJob, TrainResult, TrainStarted } from './messages.ts';
export { loadExamples, type LoadedExamples } from './example.ts';
export { packExamples, groupByTokens, type PackedBatch, type TokenExample } from './pack.ts';
export { DEFAULT_OPTIMIZER, type OptimizerConfig } from './optimizer.ts';
export { SCHEDULES, scheduleFactor, type Schedule, type ScheduleName } from './schedule.ts';
export { TrainingRun, type Evaluation, type RunConfig, type StepReport } from './run.ts';
export { TrainingGroup, type GroupEvent } from './group.ts';
export { evaluateStep, trainStep, type BatchLoss } from './step.ts';
export { ANSWER_METRICS, canStillMatch, scoreAnswers, type Answer, type AnswerMetric } from './score.ts';
