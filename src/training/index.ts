/**
 * training: turns examples into adapters: packing, steps, optimizer, evaluation, checkpoints.
 * Owns: a run's state and its checkpoint.
 * May import: base numeric formats text model adapters.   Called by: app.
 * Runs on: a child process (child.ts); the types on the main thread.
 * Throws: CONFIG_INVALID DATA_INVALID TRAINING_DIVERGED CHECKPOINT_INVALID.
 */
export { CHECKPOINT_FILE, countParameters, RUN_FOLDER, runJob, snapshotFolder } from './job.ts';
export { isCheckpointOf, UNREADABLE } from './checkpoint.ts';
export { labelsIn } from './objectives/objective.ts';
export type { TeacherSource } from './teacher.ts';
export { STOP } from './messages.ts';
export type {
  FromGroup,
  FromTrainer,
  GroupJob,
  Sample,
  StepRecord,
  ToGroup,
  TrainJob,
  TrainResult,
  TrainStarted,
} from './messages.ts';
export { defaultLearningRate, type RateInputs } from './learning-rate.ts';
export { describeOverlaps, findOverlaps, lastAnswerStart, type Overlap, type OverlapReport } from './overlap.ts';
export { runWarnings } from './run-warnings.ts';
export { holdOut, loadRunData, sourcesOf, type LoadedRunData, type RunSources } from './run-data.ts';
export { examplesOf, classesOfFile, loadExamples, type LoadedExamples } from './example.ts';
export { DEFAULT_MICRO_BATCH_TOKENS, packExamples, type PackedBatch, type TokenExample } from './pack.ts';
export { microBatches } from './micro-batches.ts';
export { LORA_STARTS, type LoraStartName, type LoraTraining } from './lora-start.ts';
export { DEFAULT_OPTIMIZER, type OptimizerConfig } from './optimizer.ts';
export { SCHEDULES, scheduleFactor, type Schedule, type ScheduleName } from './schedule.ts';
export { FULL_CONFIG, isFull, trainedMethodOf, type FullConfig, type TrainedConfig } from './full-model.ts';
export type { RunConfig } from './run-config.ts';
export type { Evaluation, StepReport } from './run-state.ts';
export { TrainingRun } from './run.ts';
export { parametersOf } from './objectives/classification.ts';
export { renderToClassify } from './labelled-example.ts';
export { TrainingGroup, type GroupEvent } from './group.ts';
export { classifyStep, evaluateStep, trainStep, type BatchLoss } from './step.ts';
export { makeObjective, OBJECTIVES } from './objectives/index.ts';
export type { MetricSum, Objective, ObjectiveConfig, ObjectiveLoss, ObjectiveName } from './objectives/objective.ts';
export { ANSWER_METRICS, canStillMatch, rougeL, scoreAnswers, type Answer, type AnswerMetric } from './score.ts';
