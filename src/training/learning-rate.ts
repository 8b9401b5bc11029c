import type { ObjectiveName } from './objectives/objective.ts';

/** What a default learning rate depends on. */
export interface RateInputs {
  readonly objective: ObjectiveName;
  /** The model's width. */
  readonly hiddenSize: number;
  readonly rank: number;
  readonly alpha: number;
  /** The update is scaled by alpha/√rank instead of alpha/rank. */
  readonly rslora: boolean;
  /** Tokens of an optimizer step. */
  readonly batchTokens: number;
  /** What else the rate is multiplied with; 1 when missing. */
  readonly factor?: number;
}

/** QLoRA's rate (Dettmers et al., 2023) for a model of 4,096 wide; the rest says how others differ from it. */
const REFERENCE = { rate: 2e-4, hiddenSize: 4096, rank: 8, alpha: 16, batchTokens: 2048 } as const;

/** Preference losses move far with little: a tenth, as their authors' recipes have it; ORPO contains the supervised loss. */
const OBJECTIVE_FACTOR: Readonly<Record<ObjectiveName, number>> = {
  sft: 1,
  distillation: 1,
  dpo: 0.1,
  ipo: 0.1,
  simpo: 0.1,
  orpo: 0.5,
  kto: 0.1,
  classification: 1,
};

const [LOWEST, HIGHEST] = [1e-6, 5e-3];

/**
 * The peak learning rate of AdamW when none is given: 2e-4 for a model 4,096 wide,
 * - inversely with the width, as with Adam under the maximal update parametrisation (Yang et al., 2022);
 * - inversely with how much a step of one size in B moves the output, alpha (alpha·√rank with rsLoRA), so that the rank alone changes nothing;
 * - with the square root of the tokens of a step (the scaling of adaptive methods: Malladi et al., 2022);
 * - a tenth of it for preference losses, half for ORPO;
 * - times `factor`.
 * Between 1e-6 and 5e-3, to two digits.
 */
export function defaultLearningRate({
  objective,
  hiddenSize,
  rank,
  alpha,
  rslora,
  batchTokens,
  factor = 1,
}: RateInputs): number {
  const push = rslora ? alpha * Math.sqrt(rank) : alpha;
  const rate =
    REFERENCE.rate *
    (REFERENCE.hiddenSize / hiddenSize) *
    (REFERENCE.alpha / push) *
    Math.sqrt(batchTokens / REFERENCE.batchTokens) *
    OBJECTIVE_FACTOR[objective] *
    factor;
  return Number(Math.min(HIGHEST, Math.max(LOWEST, rate)).toPrecision(2));
}
