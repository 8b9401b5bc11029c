import { join } from 'node:path';
import { mkdirSync, rmSync } from 'node:fs';
import { type Clock, fail } from '../base/index.ts';
import { writeArtefact, type WrittenArtefact } from '../adapters/index.ts';
import { baseTensors, openBase, type BaseModel } from '../model/index.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { openChatRenderer } from '../text/index.ts';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import type { FromTrainer, TrainJob, TrainResult } from './messages.ts';
import { loadRunData, type LoadedRunData } from './run-data.ts';
import { TrainingRun } from './run.ts';
import { SampleTaker } from './sample-taker.ts';

/** Beside the adapter's files: what is known of the run that made it. It is no part of the adapter. */
export const RUN_FOLDER = 'run';
/** In the run's folder: the adapter after the last step. */
const LAST_FOLDER = 'last';

/** Weight of the newest step in the shown rate. */
const RATE_SMOOTHING = 0.2;

/** Trains one adapter from files to files. Progress goes up through `send`; the checkpoint in the output folder makes it resumable. */
export async function runJob(job: TrainJob, clock: Clock, send: (message: FromTrainer) => void): Promise<void> {
  const kernels = loadNativeKernels(job.threads === undefined ? {} : { threads: job.threads });
  const base = openBase(job.base, kernels);
  const renderer = openChatRenderer(job.base.path);
  const objective = job.config.objective?.name ?? 'sft';
  const sources = { ...job, validShare: job.config.validShare ?? 0, objective };
  const data = loadRunData(sources, renderer, base.config.contextLength);
  const { train, valid } = data;
  const run = new TrainingRun(base, { train: train.examples, valid: valid?.examples ?? [] }, job.config);
  mkdirSync(job.output, { recursive: true });
  const checkpointPath = join(job.output, 'checkpoint.safetensors');
  const identity = {
    base: `${base.digest} in ${base.format}`,
    train: train.digest,
    valid: validDigestOf(job, data),
    config: job.config,
  };
  if (job.resume) loadCheckpoint(checkpointPath, run, identity);
  const trainableParameters = run.parameters.reduce((sum, { value }) => sum + value.data.length, 0);
  send({
    type: 'started',
    started: {
      totalSteps: run.totalSteps,
      startStep: run.state.step,
      trainableParameters,
      totalParameters: countParameters(base),
      trainExamples: train.examples.length,
      trainTokens: train.numTokens,
      validExamples: valid?.examples.length ?? 0,
      isHeldOut: valid !== undefined && job.validPath === undefined,
      overlaps: data.overlaps,
      instructionSet: kernels.name,
      warnings: data.warnings,
    },
  });
  const sampleTaker = new SampleTaker(run, valid, renderer.tokenizer, job.samples);
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
    if (report.valid && sampleTaker.isWanted) send({ type: 'samples', samples: sampleTaker.take(report.step) });
    if (report.step % job.checkpointEverySteps === 0 && !run.isDone) saveCheckpoint(checkpointPath, run, identity);
    // Lets a cancel message or the parent's end be noticed.
    await new Promise((resolve) => setImmediate(resolve));
  }
  saveCheckpoint(checkpointPath, run, identity);
  const seconds = (clock.nowMs() - startedMs) / 1000;
  const tokensHere = run.state.trainedTokens - start.tokens;
  const measured = { seconds, tokensHere, trainableParameters, textDigest: renderer.digest };
  const result = finish(job, base, run, data, measured);
  rmSync(checkpointPath, { force: true });
  send({ type: 'done', result });
}

function finish(
  job: TrainJob,
  base: BaseModel,
  run: TrainingRun,
  data: LoadedRunData,
  {
    seconds,
    tokensHere,
    trainableParameters,
    textDigest,
  }: { seconds: number; tokensHere: number; trainableParameters: number; textDigest: string },
): TrainResult {
  const { state } = run;
  const config = { ...job.config.adapter, base_model_name_or_path: job.baseModelName };
  const write = (folder: string, values: readonly Float32Array[]): WrittenArtefact => {
    const trained = run.parameters.map(({ name, value }, index) => {
      const data = values[index];
      return data ? ([name, { shape: value.shape, data }] as const) : fail('INTERNAL', `no value for ${name}`);
    });
    const tensors = new Map([...run.frozen, ...trained]);
    return writeArtefact(folder, { config, tensors }, base.digest);
  };
  const artefact = write(job.output, run.finalValues());
  const lastOutput = join(job.output, RUN_FOLDER, LAST_FOLDER);
  const last = state.best
    ? write(
        lastOutput,
        run.parameters.map(({ value }) => value.data as Float32Array),
      )
    : undefined;
  const best = state.best ? state.validations.find(({ step }) => step === state.best?.step) : undefined;
  return {
    output: job.output,
    digest: artefact.digest,
    steps: state.step,
    bestStep: state.best?.step ?? state.step,
    stoppedEarly: state.step < run.totalSteps,
    lastOutput: last ? lastOutput : null,
    lastDigest: last?.digest ?? null,
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
    dataDigest: data.train.digest,
    baseDigest: base.digest,
    baseFormat: base.format,
    validDigest: validDigestOf(job, data),
    textDigest,
    trainExamples: data.train.examples.length,
    validExamples: data.valid?.examples.length ?? 0,
    instructionSet: base.kernels.name,
    trainLosses: [...state.trainLosses],
    validations: [...state.validations],
  };
}

/** Of the held-out file; a held-out part of the training file is decided by that and the configuration. */
function validDigestOf(job: TrainJob, { valid }: LoadedRunData): string | null {
  return job.validPath === undefined ? null : (valid?.digest ?? null);
}

/** Parameters of the base; tied embeddings count once. */
export function countParameters(base: BaseModel): number {
  let sum = 0;
  for (const { shape } of baseTensors(base.config)) sum += shape.reduce((product, length) => product * length, 1);
  return sum;
}
