import { join } from 'node:path';
import { mkdirSync, rmSync } from 'node:fs';
import { sweepUnfinishedFiles, type Clock } from '../base/index.ts';
import { numVirtualTokens } from '../formats/index.ts';
import { baseTensors, openBase, openSource, type BaseModel, type LinearSite } from '../model/index.ts';
import { loadNativeKernels, type BufferPool, type Floats } from '../numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../text/index.ts';
import { loadCheckpoint, saveCheckpoint, type RunIdentity } from './checkpoint.ts';
import type { DataRequest } from './data-thread.ts';
import type { FromTrainer, StepRecord, TrainJob, TrainKeeping, TrainResult, TrainStarted } from './messages.ts';
import { loadRunData, sourcesOf, type LoadedRunData } from './run-data.ts';
import type { StepReport } from './run-state.ts';
import { TrainingRun } from './run.ts';
import { runWarnings } from './run-warnings.ts';
import type { Teacher } from './objectives/distillation.ts';
import { openTeacher } from './teacher.ts';
import { decayWarnings } from './weight-decay.ts';
import { writeAdapter } from './write-adapter.ts';
import { SampleTaker } from './sample-taker.ts';

/** Beside the adapter's files: what is known of the run that made it. It is no part of the adapter. */
export const RUN_FOLDER = 'run';
/** Of a run that has not come to its end. */
export const CHECKPOINT_FILE = 'checkpoint.safetensors';
/** In the run's folder: the adapter after the last step. */
const LAST_FOLDER = 'last';

/** Weight of the newest step in the shown rate. */
const RATE_SMOOTHING = 0.2;

/** A run whose files have been read and whose checkpoint, if it resumes, has been loaded. */
export interface PreparedRun {
  readonly run: TrainingRun;
  readonly data: LoadedRunData;
  readonly checkpointPath: string;
  readonly identity: RunIdentity;
  readonly trainableParameters: number;
  readonly textDigest: string;
  readonly sampleTaker: SampleTaker;
  readonly started: TrainStarted;
}

/** What a job learns from, and the longest sequence that its base, its teacher and its virtual tokens leave room for. */
export function dataRequestOf(job: TrainJob, base: BaseModel, teacher?: Teacher): DataRequest {
  const own = base.config.contextLength - numVirtualTokens(job.config.adapter);
  const taught = teacher ? teacher.base.config.contextLength - (teacher.hooks.numVirtual ?? 0) : own;
  return {
    basePath: job.base.path,
    sources: sourcesOf(job.config, job.dataPath, job.validPath),
    contextLength: Math.min(own, taught),
  };
}

/** @param pool see {@link TrainingRun} @throws CONFIG_INVALID CHECKPOINT_INVALID TARGET_UNMATCHED */
export function prepareRun(
  job: TrainJob,
  base: BaseModel,
  renderer: ChatRenderer,
  data: LoadedRunData,
  pool?: BufferPool,
  teacher?: Teacher,
): PreparedRun {
  const warnings = runWarnings(job.config.adapter, base, data, renderer.tokenizer);
  const { train, valid } = data;
  const examples = { train: train.examples, valid: valid?.examples ?? [] };
  const run = withOriginals(
    job,
    (original) => new TrainingRun(base, examples, job.config, pool, { teacher, original }),
  );
  const folder = job.keeping?.folder ?? job.output;
  mkdirSync(folder, { recursive: true });
  const runFolder = join(job.output, RUN_FOLDER);
  for (const one of [folder, job.output, runFolder, join(runFolder, LAST_FOLDER)]) sweepUnfinishedFiles(one);
  const checkpointPath = join(folder, CHECKPOINT_FILE);
  const identity = {
    base: describeWeights(base),
    train: train.digest,
    valid: validDigestOf(job, data),
    config: job.config,
  };
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
    isHeldOut: valid !== undefined && job.validPath === undefined,
    overlaps: data.overlaps,
    instructionSet: base.kernels.name,
    warnings: [...warnings, ...decayWarnings(job.config.optimizer, run.parameters)],
    history: historyOf(run),
  };
  const sampleTaker = new SampleTaker(run, valid, renderer.tokenizer, job.samples);
  return {
    run,
    data,
    checkpointPath,
    identity,
    trainableParameters,
    textDigest: renderer.digest,
    sampleTaker,
    started,
  };
}

/** Opens the base's files while a run is made that asks for the weights before quantisation. */
function withOriginals<T>({ base, config }: TrainJob, make: (original?: (site: LinearSite) => Floats) => T): T {
  if (config.lora?.start !== 'loftq') return make();
  const source = openSource(base.path);
  try {
    return make(({ path }) => source.read(`${path}.weight`));
  } finally {
    source.close();
  }
}

/**
 * Trains one adapter from files to files. Progress goes up through `send`; the checkpoint in the output folder, or where it is to be kept,
 * makes it resumable. A snapshot is always older than the checkpoint that knows of its step.
 * @param mustStop asked after each step: whether to leave a checkpoint and go
 */
export async function runJob(
  job: TrainJob,
  clock: Clock,
  send: (message: FromTrainer) => void,
  mustStop: () => boolean = () => false,
): Promise<void> {
  const kernels = loadNativeKernels(job.threads === undefined ? {} : { threads: job.threads });
  const base = openBase(job.base, kernels);
  const renderer = openChatRenderer(job.base.path);
  const student = { open: job.base, base, tokenizer: renderer.tokenizer };
  const teacher = job.teacher && openTeacher(job.teacher, student, kernels);
  const { sources, contextLength } = dataRequestOf(job, base, teacher);
  const data = loadRunData(sources, renderer, contextLength);
  const prepared = prepareRun(job, base, renderer, data, undefined, teacher);
  const { run, checkpointPath, identity } = prepared;
  send({ type: 'started', started: prepared.started });
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
    leaveStep(job, base, prepared, report, send);
    // Lets a message or the parent's end be noticed.
    await new Promise((resolve) => setImmediate(resolve));
    if (mustStop() && !run.isDone) {
      saveCheckpoint(checkpointPath, run, identity);
      send({ type: 'stopped', step: report.step });
      return;
    }
  }
  const seconds = (clock.nowMs() - startedMs) / 1000;
  leaveEnd(job, base, prepared, { seconds, tokensHere: run.state.trainedTokens - start.tokens }, send);
}

/** What a step leaves: answers to look at, a snapshot where they are kept, a checkpoint when it is time. */
export function leaveStep(
  job: TrainJob,
  base: BaseModel,
  { run, checkpointPath, identity, sampleTaker }: PreparedRun,
  { step, valid }: StepReport,
  send: (message: FromTrainer) => void,
): void {
  const { keeping } = job;
  if (valid && sampleTaker.isWanted) send({ type: 'samples', samples: sampleTaker.take(step) });
  const isSnapshot = keeping !== undefined && (step % keeping.snapshotEverySteps === 0 || run.isDone);
  if (isSnapshot) writeSnapshot(job, keeping, base, run, send);
  const isTime = isSnapshot || step % job.checkpointEverySteps === 0;
  if (isTime && !run.isDone) saveCheckpoint(checkpointPath, run, identity);
}

/** What a run that is done leaves: its adapter, and its checkpoint only where that is kept. */
export function leaveEnd(
  job: TrainJob,
  base: BaseModel,
  prepared: PreparedRun,
  spent: RunCost,
  send: (message: FromTrainer) => void,
): void {
  const { run, checkpointPath, identity } = prepared;
  saveCheckpoint(checkpointPath, run, identity);
  const result = finishRun(job, base, prepared, spent);
  if (!job.keeping) rmSync(checkpointPath, { force: true });
  send({ type: 'done', result });
}

/** Where the adapter of a step is kept. */
export function snapshotFolder(folder: string, step: number): string {
  return join(folder, 'snapshots', `step-${step}`);
}

function writeSnapshot(
  job: TrainJob,
  keeping: TrainKeeping,
  base: BaseModel,
  run: TrainingRun,
  send: (message: FromTrainer) => void,
): void {
  const { step } = run.state;
  const folder = snapshotFolder(keeping.folder, step);
  // Of a run that was killed while it wrote this.
  sweepUnfinishedFiles(folder);
  writeAdapter(folder, job, base, run, lastValues(run));
  send({ type: 'snapshot', step, folder });
}

function historyOf({ state }: TrainingRun): StepRecord[] {
  const { trainLosses, trainAccuracies, validations } = state;
  return trainLosses.map((loss, index) => {
    const found = validations.find(({ step }) => step === index + 1);
    const valid = found && { loss: found.loss, accuracy: found.accuracy };
    return { step: index + 1, loss, accuracy: trainAccuracies[index], valid };
  });
}

function lastValues(run: TrainingRun): Float32Array[] {
  return run.parameters.map(({ value }) => value.data as Float32Array);
}

/** What a run has taken since it was begun, or resumed. */
interface RunCost {
  readonly seconds: number;
  readonly tokensHere: number;
}

/** Writes the adapter of a run that is done. */
function finishRun(
  job: TrainJob,
  base: BaseModel,
  { run, data, trainableParameters, textDigest }: PreparedRun,
  { seconds, tokensHere }: RunCost,
): TrainResult {
  const { state } = run;
  const artefact = writeAdapter(job.output, job, base, run, run.finalValues());
  const lastOutput = join(job.output, RUN_FOLDER, LAST_FOLDER);
  const last = state.best ? writeAdapter(lastOutput, job, base, run, lastValues(run)) : undefined;
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
    computeDtype: base.computeDtype,
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

/** What a run's bytes depend on beside its settings: a checkpoint goes on only on the same. */
function describeWeights({ digest, format, computeDtype }: BaseModel): string {
  return `${digest} in ${format}${computeDtype === 'f32' ? '' : `, products in ${computeDtype}`}`;
}
