/** An answer as a preference loss sees it. */
export interface ScoredAnswer {
  /** log π(answer | prompt), the sum over its tokens. */
  readonly logProb: number;
  /** The same of the reference, the base without an adapter; 0 where the loss has none. */
  readonly reference: number;
  readonly numTokens: number;
}

/** The answers of one example: chosen and rejected; or, for a loss of single answers, the answer and a mismatched one. */
export interface ScoredExample {
  readonly answers: readonly [ScoredAnswer, ScoredAnswer];
  readonly isDesirable: boolean | undefined;
}

export interface ExampleLoss {
  readonly loss: number;
  /** d loss / d logProb of both answers. */
  readonly gradient: readonly [number, number];
  /** Implicit rewards, of the answers that the example has of each kind. */
  readonly chosenReward?: number;
  readonly rejectedReward?: number;
  /** Whether the better answer has the higher reward; absent where there is nothing to compare. */
  readonly isRight?: boolean;
}

/** A loss as a function of log probabilities alone, with its derivatives: what is below them (head, model, adapter) is the tape's. */
export interface PreferenceLoss {
  /** Whether it compares with the base. */
  readonly needsReference: boolean;
  /** The losses of a batch's examples, in order. Only a loss with a batch-wide baseline looks at more than one at a time. */
  lossesOf(examples: readonly ScoredExample[]): ExampleLoss[];
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** log σ(x), exact for large |x|. */
export const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

/** A loss of pairs that look at nothing but themselves. */
export function pairwise(
  needsReference: boolean,
  lossOf: (chosen: ScoredAnswer, rejected: ScoredAnswer) => PairLoss,
): PreferenceLoss {
  return {
    needsReference,
    lossesOf: (examples) =>
      examples.map(({ answers: [chosen, rejected] }) => {
        const { loss, dChosen, dRejected, chosenReward, rejectedReward } = lossOf(chosen, rejected);
        return {
          loss,
          gradient: [dChosen, dRejected],
          chosenReward,
          rejectedReward,
          isRight: chosenReward > rejectedReward,
        };
      }),
  };
}

export interface PairLoss {
  readonly loss: number;
  readonly dChosen: number;
  readonly dRejected: number;
  readonly chosenReward: number;
  readonly rejectedReward: number;
}
