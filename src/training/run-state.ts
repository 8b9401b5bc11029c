import { Rng, type RngState } from '../base/index.ts';

export interface StepReport {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  /** Mean over the step's targets. */
  readonly loss: number;
  readonly accuracy: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly numTokens: number;
  /** Means of the objective's own figures, such as `rewards/margins`. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Set when the held-out data was evaluated after this step. */
  readonly valid: Evaluation | undefined;
}

export interface Evaluation {
  readonly loss: number;
  readonly accuracy: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface BestAdapter {
  readonly step: number;
  readonly loss: number;
  /** A copy of every parameter's value. */
  readonly values: readonly Float32Array[];
}

/** Everything that changes during a run: a checkpoint is this and nothing else. */
export interface RunState {
  step: number;
  epoch: number;
  /** Next group of the epoch's order. */
  cursor: number;
  dropoutRng: RngState;
  trainedTokens: number;
  readonly trainLosses: number[];
  readonly trainAccuracies: number[];
  readonly validations: (Evaluation & { readonly step: number })[];
  best: BestAdapter | undefined;
}

/** Of a run that has not begun. */
export function firstState(seed: number): RunState {
  return {
    step: 0,
    epoch: 0,
    cursor: 0,
    dropoutRng: Rng.fromSeed(seed, 'dropout').state,
    trainedTokens: 0,
    trainLosses: [],
    trainAccuracies: [],
    validations: [],
    best: undefined,
  };
}
