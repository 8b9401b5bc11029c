import { join } from 'node:path';
import { mkdirSync, rmSync } from 'node:fs';
import { type Clock, fail } from '../base/index.ts';
import { writeArtefact } from '../adapters/index.ts';
import { baseTensors, openBase, type BaseModel } from '../model/index.ts';
import { loadNativeKernels, type BufferPool } from '../numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../text/index.ts';
import { loadCheckpoint, saveCheckpoint, type RunIdentity } from './checkpoint.ts';
import { loadExamples, type LoadedExamples } from './example.ts';
import type { FromTrainer, TrainJob, TrainResult, TrainStarted } from './messages.ts';
import { TrainingRun } from './run.ts';

/** Weight of the newest step in the shown rate. */
const RATE_SMOOTHING = 0.2;

/** A run whose files have been read and whose checkpoint, if it resumes, has been loaded. */
export interface PreparedRun {
  readonly run: TrainingRun;
  readonly train: LoadedExamples;
  readonly checkpointPath: string;
  readonly identity: RunIdentity;
  readonly trainableParameters: number;
  readonly started: TrainStarted;
}

/** @param pool see {@link TrainingRun} @throws DATA_INVALID CONFIG_INVALID CHECKPOINT_INVALID TARGET_UNMATCHED */
export function prepareRun(job: TrainJob, base: BaseModel, renderer: ChatRenderer, pool?: BufferPool): PreparedRun {
  const train = loadExamples(job.dataPath, renderer, base.config.contextLength);
  const valid =
    job.validPath === undefined ? undefined : loadExamples(job.validPath, renderer, base.config.contextLength);
  const run = new TrainingRun(base, { train: train.examples, valid: valid?.examples ?? [] }, job.config, pool);
  mkdirSync(job.output, { recursive: true });
  const checkpointPath = join(job.output, 'checkpoint.safetensors');
  const identity = { base: base.digest, train: train.digest, valid: valid?.digest ?? null, config: job.config };
  if (job.resume) loadCheckpoint(checkpointPath, run, identity);
  const trainableParameters = run.parameters.reduce((sum, { value }) => sum + value.data.length, 0);
  const started = {
    totalSteps: run.totalSteps,
    startStep: run.state.step,
    trainableParameters,
    totalParameters: countParameters(base),
    trainExamples: train.examples.length,
    trainTokens: train.numTokens,
    validExamples: valid?.examples.length ?? 0,
    instructionSet: base.kernels.name,
    warnings: [...train.warnings, ...(valid?.warnings ?? [])],
  };
  return { run, train, checkpointPath, identity, trainableParameters, started };
}

/** Trains one adapter from files to files. Progress goes up through `send`; the checkpoint in the output folder makes it resumable. */
export async function runJob(job: TrainJob, clock: Clock, send: (message: FromTrainer) => void): Promise<void> {
  const kernels = loadNativeKernels(job.threads === undefined ? {} : { threads: job.threads });
  const base = openBase(job.base, kernels);
  const renderer = openChatRenderer(job.base.path);
  const { run, train, checkpointPath, identity, trainableParameters, started } = prepareRun(job, base, renderer);
  send({ type: 'started', started });
  const startedMs = clock.nowMs();
  const start = { step: run.state.step, tokens: run.state.trainedTokens };
  let tokensPerSecond = 0;
  while (!run.isDone) {
    const stepStartedMs = clock.nowMs();
    const report = run.step();
    const seconds = (clock.nowMs() - stepStartedMs) / 1000;
    const rate = report.numTokens / seconds;
    tokensPerSecond = tokensPerSecond === 0 ? rate : tokensPerSecond + RATE_SMOOTHING * (rate - tokensPerSecond);
    const meanSeconds = (clock.nowMs() - startedMs) / 1000 / (report.step - start.step);
    send({ type: 'step', report, tokensPerSecond, secondsLeft: (run.totalSteps - report.step) * meanSeconds });
    if (report.step % job.checkpointEverySteps === 0 && !run.isDone) saveCheckpoint(checkpointPath, run, identity);
    // Lets a cancel message or the parent's end be noticed.
    await new Promise((resolve) => setImmediate(resolve));
  }
  saveCheckpoint(checkpointPath, run, identity);
  const seconds = (clock.nowMs() - startedMs) / 1000;
  const tokensHere = run.state.trainedTokens - start.tokens;
  const result = finishRun(job, base, run, train, { seconds, tokensHere, trainableParameters });
  rmSync(checkpointPath, { force: true });
  send({ type: 'done', result });
}

/** Writes the adapter of a run that is done. */
export function finishRun(
  job: TrainJob,
  base: BaseModel,
  run: TrainingRun,
  train: LoadedExamples,
  { seconds, tokensHere, trainableParameters }: { seconds: number; tokensHere: number; trainableParameters: number },
): TrainResult {
  const { state } = run;
  const values = run.finalValues();
  const tensors = new Map(
    run.parameters.map(({ name, value }, index) => {
      const data = values[index];
      return data ? [name, { shape: value.shape, data }] : fail('INTERNAL', `no value for ${name}`);
    }),
  );
  const config = { ...job.config.adapter, base_model_name_or_path: job.baseModelName };
  const artefact = writeArtefact(job.output, { config, tensors }, base.digest);
  const best = state.best ? state.validations.find(({ step }) => step === state.best?.step) : undefined;
  return {
    output: job.output,
    digest: artefact.digest,
    steps: state.step,
    bestStep: state.best?.step ?? state.step,
    trainLoss: state.trainLosses.at(-1) ?? NaN,
    validLoss: best?.loss ?? null,
    validAccuracy: best?.accuracy ?? null,
    trainableParameters,
    totalParameters: countParameters(base),
    trainedTokens: state.trainedTokens,
    seconds,
    tokensPerSecond: seconds > 0 ? tokensHere / seconds : 0,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    adapterBytes: artefact.sizeBytes,
    dataDigest: train.digest,
    baseDigest: base.digest,
  };
}

/** Parameters of the base; tied embeddings count once. */
export function countParameters(base: BaseModel): number {
  let sum = 0;
  for (const { shape } of baseTensors(base.config)) sum += shape.reduce((product, length) => product * length, 1);
  return sum;
}
