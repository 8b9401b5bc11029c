import type { Problem, RemoteError } from '../base/index.ts';
import type { OpenBaseOptions } from '../model/index.ts';
import type { ComputeDtype } from '../numeric/index.ts';
import type { OverlapReport } from './overlap.ts';
import type { RunConfig } from './run-config.ts';
import type { Evaluation, StepReport } from './run-state.ts';
import type { TeacherSource } from './teacher.ts';

/** What a training process is told to do. */
export interface TrainJob {
  readonly base: OpenBaseOptions;
  readonly threads: number | undefined;
  readonly dataPath: string;
  readonly validPath: string | undefined;
  readonly config: RunConfig;
  /** Becomes a PEFT folder, with the checkpoint beside it while the run lasts. */
  readonly output: string;
  readonly checkpointEverySteps: number;
  /** Held-out prompts that are answered at every evaluation, to be looked at. */
  readonly samples: number;
  readonly resume: boolean;
  /** Of a distillation. */
  readonly teacher?: TeacherSource | undefined;
  /** For runs that somebody watches and may have to repeat. */
  readonly keeping?: TrainKeeping | undefined;
  /** Written as base_model_name_or_path: how other tools find the base. */
  readonly baseModelName: string;
}

/** What a training process is told to do when several runs share its base. Runs come with {@link ToGroup}. */
export interface GroupJob {
  readonly type: 'group';
  readonly base: OpenBaseOptions;
  readonly threads: number | undefined;
  /** Tokens of one pass over all runs, at most. */
  readonly maxTokens: number;
}

export type ToGroup =
  | { readonly type: 'add'; readonly id: string; readonly job: TrainJob }
  /** The run leaves after its last whole step, with a checkpoint: it says `stopped`. */
  | { readonly type: 'stop'; readonly id: string }
  /** The same, but it says that it has failed, as CANCELLED. */
  | { readonly type: 'cancel'; readonly id: string }
  /** The run leaves and writes nothing any more: it says that it has failed, as CANCELLED. */
  | { readonly type: 'drop'; readonly id: string }
  /** No more runs will come: the process ends when it has none. */
  | { readonly type: 'end' };

/** What a group's process says about one of its runs. */
export interface FromGroup {
  readonly type: 'run';
  readonly id: string;
  readonly message: FromTrainer;
}

/** What such a run leaves besides its output. */
export interface TrainKeeping {
  /** For the checkpoint, which stays at the end: a run whose end was not noticed ends again without a step. */
  readonly folder: string;
  /** After each of so many steps, and after the last, the adapter is written to a {@link snapshotFolder}. */
  readonly snapshotEverySteps: number;
}

/** What is known of a step for ever. */
export interface StepRecord {
  readonly step: number;
  readonly loss: number;
  readonly accuracy: number;
  /** On the held-out data, where it was evaluated after this step. */
  readonly valid: { readonly loss: number; readonly accuracy: number } | undefined;
}

export interface TrainStarted {
  readonly totalSteps: number;
  /** Steps done before a resume. */
  readonly startStep: number;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly trainExamples: number;
  readonly trainTokens: number;
  readonly validExamples: number;
  /** True when the held-out examples are a part of the training file. */
  readonly isHeldOut: boolean;
  readonly overlaps: OverlapReport;
  readonly instructionSet: string;
  readonly warnings: readonly Problem[];
  /** The steps before a resume, whoever heard of them. */
  readonly history: readonly StepRecord[];
}

/** What the adapter answered to a held-out prompt during the run. */
export interface Sample {
  readonly step: number;
  /** Of the held-out example, in its file. */
  readonly line: number;
  readonly prompt: string;
  readonly expected: string;
  readonly generated: string;
}

/** The last line of `train --json`. */
export interface TrainResult {
  readonly output: string;
  readonly digest: string;
  readonly steps: number;
  readonly bestStep: number;
  /** Whether the run ended before its last step, because the held-out loss got no better. */
  readonly stoppedEarly: boolean;
  /** The folder of the adapter after the last step, where the best one is kept beside it. */
  readonly lastOutput: string | null;
  readonly lastDigest: string | null;
  readonly trainLoss: number;
  readonly validLoss: number | null;
  readonly validAccuracy: number | null;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly trainedTokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
  readonly peakMemoryBytes: number;
  readonly adapterBytes: number;
  readonly dataDigest: string;
  readonly baseDigest: string;
  /** How the base's weights were held, and so rounded: the adapter fits them best in that format. */
  readonly baseFormat: string;
  /** What the products with them rounded to. */
  readonly computeDtype: ComputeDtype;
  readonly validDigest: string | null;
  /** Of tokenizer and chat template together. */
  readonly textDigest: string;
  readonly trainExamples: number;
  readonly validExamples: number;
  readonly instructionSet: string;
  /** The loss of every step, from the first. */
  readonly trainLosses: readonly number[];
  readonly validations: readonly (Evaluation & { readonly step: number })[];
}

/** To a training process after its job: save and stop, after the step that it is in. */
export const STOP = 'stop';

export type FromTrainer =
  | { readonly type: 'started'; readonly started: TrainStarted }
  | {
      readonly type: 'step';
      readonly report: StepReport;
      readonly tokensPerSecond: number;
      readonly secondsLeft: number;
    }
  | { readonly type: 'samples'; readonly samples: readonly Sample[] }
  /** The adapter of this step is in its folder. */
  | { readonly type: 'snapshot'; readonly step: number; readonly folder: string }
  /** By the parent's wish, with a checkpoint. */
  | { readonly type: 'stopped'; readonly step: number }
  | { readonly type: 'done'; readonly result: TrainResult }
  | {
      readonly type: 'failed';
      readonly error: RemoteError;
    };
