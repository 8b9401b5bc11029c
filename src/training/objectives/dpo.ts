import { logSigmoid, pairwise, sigmoid, type PreferenceLoss } from './preference-loss.ts';

/**
 * Direct preference optimisation (Rafailov et al., 2023): −log σ(β·h), where h is how much more the policy prefers the chosen answer than
 * the reference does. With label smoothing ε, a label is wrong with probability ε (conservative DPO, Mitchell, 2023):
 * −(1 − ε)·log σ(β·h) − ε·log σ(−β·h).
 */
export function dpoLoss({ beta, labelSmoothing }: { beta: number; labelSmoothing: number }): PreferenceLoss {
  return pairwise(true, (chosen, rejected) => {
    const chosenReward = beta * (chosen.logProb - chosen.reference);
    const rejectedReward = beta * (rejected.logProb - rejected.reference);
    const z = chosenReward - rejectedReward;
    const loss = -(1 - labelSmoothing) * logSigmoid(z) - labelSmoothing * logSigmoid(-z);
    const dz = -(1 - labelSmoothing) * sigmoid(-z) + labelSmoothing * sigmoid(z);
    return { loss, dChosen: beta * dz, dRejected: -beta * dz, chosenReward, rejectedReward };
  });
}
