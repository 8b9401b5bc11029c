import { sigmoid, type PreferenceLoss } from './preference-loss.ts';

export interface KtoSettings {
  readonly beta: number;
  readonly desirableWeight: number;
  readonly undesirableWeight: number;
}

/**
 * Kahneman-Tversky optimisation (Ethayarajh et al., 2024), for single answers that are good or bad: w·(1 − σ(r − z)) for a good one and
 * w·(1 − σ(z − r)) for a bad one, where the reward r is β·(log π − log π_ref). The reference point z estimates β·KL(π‖π_ref) from
 * mismatched answers (`answers[1]`): their mean reward in the batch, at least 0. As in the paper, nothing flows back through z.
 */
export function ktoLoss({ beta, desirableWeight, undesirableWeight }: KtoSettings): PreferenceLoss {
  return {
    needsReference: true,
    lossesOf(examples) {
      let mismatched = 0;
      for (const { answers } of examples) mismatched += answers[1].logProb - answers[1].reference;
      const z = beta * Math.max(0, mismatched / Math.max(1, examples.length));
      return examples.map(({ answers: [answer], isDesirable }) => {
        const reward = beta * (answer.logProb - answer.reference);
        const sign = isDesirable ? 1 : -1;
        const weight = isDesirable ? desirableWeight : undesirableWeight;
        const value = sigmoid(sign * (reward - z));
        return {
          loss: weight * (1 - value),
          gradient: [-weight * value * (1 - value) * sign * beta, 0],
          isRight: sign * (reward - z) > 0,
          ...(isDesirable ? { chosenReward: reward } : { rejectedReward: reward }),
        };
      });
    },
  };
}
