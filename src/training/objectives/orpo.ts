import { logSigmoid, pairwise, sigmoid, type PreferenceLoss } from './preference-loss.ts';

/** Closer to 0 than this, a mean log probability is that of a certain answer, and its odds are infinite. */
const LARGEST_MEAN = -1e-7;

/**
 * Odds ratio preference optimisation (Hong et al., 2024): the chosen answer's mean negative log-likelihood, less β times the log σ of the
 * log odds ratio, log(odds(chosen)/odds(rejected)) with odds = p/(1 − p) of the geometric mean probability of a token. No reference.
 */
export function orpoLoss({ beta }: { beta: number }): PreferenceLoss {
  return pairwise(false, (chosen, rejected) => {
    const chosenMean = Math.min(chosen.logProb / chosen.numTokens, LARGEST_MEAN);
    const rejectedMean = Math.min(rejected.logProb / rejected.numTokens, LARGEST_MEAN);
    const z = logOdds(chosenMean) - logOdds(rejectedMean);
    const dz = -beta * sigmoid(-z);
    return {
      loss: -chosenMean - beta * logSigmoid(z),
      dChosen: (-1 + dz * dLogOdds(chosenMean)) / chosen.numTokens,
      dRejected: (-dz * dLogOdds(rejectedMean)) / rejected.numTokens,
      chosenReward: beta * chosenMean,
      rejectedReward: beta * rejectedMean,
    };
  });
}

/** log(p/(1 − p)) of a log probability. */
const logOdds = (logProb: number): number => logProb - Math.log(-Math.expm1(logProb));

/** Its derivative, 1/(1 − p). */
const dLogOdds = (logProb: number): number => -1 / Math.expm1(logProb);
