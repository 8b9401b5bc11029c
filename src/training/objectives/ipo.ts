import { pairwise, type PreferenceLoss } from './preference-loss.ts';

/**
 * Identity preference optimisation (Azar et al., 2023): (h − 1/(2β))², with h as in DPO. The log probabilities are means over an
 * answer's tokens, as its authors and TRL have them, so that β means the same for long and for short answers.
 */
export function ipoLoss({ beta }: { beta: number }): PreferenceLoss {
  return pairwise(true, (chosen, rejected) => {
    const chosenRatio = (chosen.logProb - chosen.reference) / chosen.numTokens;
    const rejectedRatio = (rejected.logProb - rejected.reference) / rejected.numTokens;
    const distance = chosenRatio - rejectedRatio - 1 / (2 * beta);
    return {
      loss: distance ** 2,
      dChosen: (2 * distance) / chosen.numTokens,
      dRejected: (-2 * distance) / rejected.numTokens,
      chosenReward: beta * chosenRatio,
      rejectedReward: beta * rejectedRatio,
    };
  });
}
