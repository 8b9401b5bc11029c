import type { ErrorCode, Problem } from '../base/index.ts';
import type { OpenBaseOptions } from '../model/index.ts';
import type { RunConfig, StepReport } from './run.ts';

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
  readonly resume: boolean;
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
  /** The run leaves after its last whole step, with a checkpoint. */
  | { readonly type: 'cancel'; readonly id: string }
  /** No more runs will come: the process ends when it has none. */
  | { readonly type: 'end' };

/** What a group's process says about one of its runs. */
export interface FromGroup {
  readonly type: 'run';
  readonly id: string;
  readonly message: FromTrainer;
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
  readonly instructionSet: string;
  readonly warnings: readonly Problem[];
}

/** The last line of `train --json`. */
export interface TrainResult {
  readonly output: string;
  readonly digest: string;
  readonly steps: number;
  readonly bestStep: number;
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
}

export type FromTrainer =
  | { readonly type: 'started'; readonly started: TrainStarted }
  | {
      readonly type: 'step';
      readonly report: StepReport;
      readonly tokensPerSecond: number;
      readonly secondsLeft: number;
    }
  | { readonly type: 'done'; readonly result: TrainResult }
  | {
      readonly type: 'failed';
      readonly error: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly param: string | undefined;
        readonly problems: readonly Problem[];
      };
    };
