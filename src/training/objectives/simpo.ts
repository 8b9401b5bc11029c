import { logSigmoid, pairwise, sigmoid, type PreferenceLoss } from './preference-loss.ts';

/**
 * Simple preference optimisation (Meng et al., 2024): −log σ(r(chosen) − r(rejected) − γ), where the reward r is β times the mean log
 * probability of an answer's tokens. It has no reference: nothing but the margin γ holds the policy near the base.
 */
export function simpoLoss({ beta, gamma }: { beta: number; gamma: number }): PreferenceLoss {
  return pairwise(false, (chosen, rejected) => {
    const chosenReward = (beta * chosen.logProb) / chosen.numTokens;
    const rejectedReward = (beta * rejected.logProb) / rejected.numTokens;
    const z = chosenReward - rejectedReward - gamma;
    const dz = -sigmoid(-z);
    return {
      loss: -logSigmoid(z),
      dChosen: (beta * dz) / chosen.numTokens,
      dRejected: (-beta * dz) / rejected.numTokens,
      chosenReward,
      rejectedReward,
    };
  });
}
