import { leastDifference, leastMeanDifference, meanOf, squaredErrorOf, wilson, type Moments } from './bounds.ts';

export type CanaryArm = 'canary' | 'stable';

/** When a canary is bad, and what it takes to be good. Null: that is not looked at. */
export interface CanaryRules {
  /** Requests that the canary has answered in a step before the step may end well. */
  readonly minRequests: number;
  /** How long a step takes at least. */
  readonly minSeconds: number;
  /** The canary's error rate may be so much above that of the others. */
  readonly maxErrorIncrease: number;
  /** And no higher than this. */
  readonly maxErrorRate: number | null;
  /** The mean of the canary's scores is at least this. */
  readonly minScore: number | null;
  /** The mean of the canary's scores is at most so much below the others'. */
  readonly maxScoreDrop: number | null;
  /** The canary's answers take at most so many times as long as the others' (geometric means). */
  readonly maxLatencyFactor: number | null;
}

export interface CanarySettings extends CanaryRules {
  /** Shares of the task's sessions, step by step: each above 0, at most 1 and above the one before. */
  readonly shares: readonly number[];
  /** At the end of the last step the version becomes `latest`; else it keeps its share until somebody decides. */
  readonly promote: boolean;
}

export const CANARY_DEFAULTS: CanarySettings = {
  shares: [0.1],
  promote: false,
  minRequests: 100,
  minSeconds: 0,
  maxErrorIncrease: 0.02,
  maxErrorRate: null,
  minScore: null,
  maxScoreDrop: null,
  maxLatencyFactor: null,
};

/** `promoting`: every step has ended well, and the alias is being moved; a process that finds it so goes on with it. */
export type CanaryStatus = 'running' | 'passed' | 'promoting' | 'promoted' | 'rolled-back' | 'stopped';

export interface Canary {
  readonly id: string;
  readonly tenant: string;
  readonly task: string;
  readonly version: number;
  readonly settings: CanarySettings;
  readonly status: CanaryStatus;
  /** Why it ended. */
  readonly reason: string | null;
  /** Index in `settings.shares`. */
  readonly step: number;
  readonly stepBeganAt: number;
  /** Requests that the canary had answered when the step began. */
  readonly stepRequests: number;
  readonly startedAt: number;
  readonly endedAt: number | null;
}

/** What one side has answered since the canary began. */
export interface ArmCounts {
  readonly requests: number;
  readonly errors: number;
  /** Natural logarithms of the seconds that answers took. */
  readonly logSeconds: Moments;
  readonly scores: Moments;
}

const NOTHING: Moments = { count: 0, sum: 0, sumOfSquares: 0 };
export const NO_COUNTS: ArmCounts = { requests: 0, errors: 0, logSeconds: NOTHING, scores: NOTHING };

export type CanaryVerdict =
  | { readonly kind: 'bad'; readonly reason: string }
  /** Nothing is wrong, and it was seen often enough for the step to end. */
  | { readonly kind: 'good' }
  | { readonly kind: 'open' };

/**
 * Three standard errors: the counts are looked at after every request, so that a bound for one look would be crossed by chance sooner or
 * later. `delivery/canary.test.ts` has how often that happens over a thousand requests.
 */
const Z = 3;
/** Requests of the canary before its errors are judged: the first that fails is chance. */
const MIN_JUDGED = 5;
/** Scores, and times, of each side before their means are compared. */
const MIN_COMPARED = 10;

/**
 * Whether a canary is bad beyond chance, or good so far. Error rates are compared by Newcombe's interval of a difference, means of scores and of
 * the logarithms of times by Welch's; a limit that the canary shall not cross by itself is compared with Wilson's bound.
 */
export function judgeCanary(
  rules: CanaryRules,
  canary: ArmCounts,
  stable: ArmCounts,
  stepRequests: number,
): CanaryVerdict {
  const findings = [
    errorIncrease(rules, canary, stable),
    errorRate(rules, canary),
    lowScore(rules, canary),
    scoreDrop(rules, canary, stable),
    latency(rules, canary, stable),
  ];
  const bad = findings.find(({ badBecause }) => badBecause !== null);
  if (bad?.badBecause != null) return { kind: 'bad', reason: bad.badBecause };
  const isSeen = canary.requests - stepRequests >= rules.minRequests;
  return isSeen && findings.every(({ isWithin }) => isWithin) ? { kind: 'good' } : { kind: 'open' };
}

/** What one rule says: whether it is broken beyond chance, and whether what was seen so far keeps to it. */
interface Finding {
  readonly badBecause: string | null;
  readonly isWithin: boolean;
}

const FINE: Finding = { badBecause: null, isWithin: true };
const UNSEEN: Finding = { badBecause: null, isWithin: false };

function errorIncrease({ maxErrorIncrease }: CanaryRules, canary: ArmCounts, stable: ArmCounts): Finding {
  if (canary.requests < MIN_JUDGED) return UNSEEN;
  const [mine, theirs] = [rateOf(canary), rateOf(stable)];
  const least = leastDifference(
    { hits: canary.errors, count: canary.requests },
    { hits: stable.errors, count: stable.requests },
    Z,
  );
  const told = `${share(canary)} requests failed, of the others ${share(stable)}`;
  return {
    badBecause: least > maxErrorIncrease ? `${told}: more than ${maxErrorIncrease} above them` : null,
    isWithin: mine - theirs <= maxErrorIncrease,
  };
}

function errorRate({ maxErrorRate }: CanaryRules, canary: ArmCounts): Finding {
  if (maxErrorRate === null) return FINE;
  if (canary.requests < MIN_JUDGED) return UNSEEN;
  const isOver = wilson(canary.errors, canary.requests, Z).low > maxErrorRate;
  return {
    badBecause: isOver ? `${share(canary)} requests failed, at most a share of ${maxErrorRate} may` : null,
    isWithin: rateOf(canary) <= maxErrorRate,
  };
}

function lowScore({ minScore }: CanaryRules, { scores }: ArmCounts): Finding {
  if (minScore === null) return FINE;
  if (scores.count < MIN_COMPARED) return UNSEEN;
  const most = meanOf(scores) + Z * Math.sqrt(squaredErrorOf(scores));
  const told = `the mean of ${scores.count} scores is ${figure(meanOf(scores))}`;
  return {
    badBecause: most < minScore ? `${told}, below ${minScore}` : null,
    isWithin: meanOf(scores) >= minScore,
  };
}

function scoreDrop({ maxScoreDrop }: CanaryRules, canary: ArmCounts, stable: ArmCounts): Finding {
  if (maxScoreDrop === null) return FINE;
  if (canary.scores.count < MIN_COMPARED || stable.scores.count < MIN_COMPARED) return UNSEEN;
  const told = `the mean of its scores is ${figure(meanOf(canary.scores))}, of the others’ ${figure(meanOf(stable.scores))}`;
  const least = leastMeanDifference(stable.scores, canary.scores, Z);
  return {
    badBecause: least > maxScoreDrop ? `${told}: more than ${maxScoreDrop} below them` : null,
    isWithin: meanOf(stable.scores) - meanOf(canary.scores) <= maxScoreDrop,
  };
}

function latency({ maxLatencyFactor }: CanaryRules, canary: ArmCounts, stable: ArmCounts): Finding {
  if (maxLatencyFactor === null) return FINE;
  const [mine, theirs] = [canary.logSeconds, stable.logSeconds];
  if (mine.count < MIN_COMPARED || theirs.count < MIN_COMPARED) return UNSEEN;
  const factor = Math.exp(meanOf(mine) - meanOf(theirs));
  const isSlow = leastMeanDifference(mine, theirs, Z) > Math.log(maxLatencyFactor);
  return {
    badBecause: isSlow
      ? `its answers take ${figure(factor)} times as long as the others’, at most ${maxLatencyFactor} may be`
      : null,
    isWithin: factor <= maxLatencyFactor,
  };
}

function rateOf({ errors, requests }: ArmCounts): number {
  return errors / Math.max(1, requests);
}

function share({ errors, requests }: ArmCounts): string {
  return `${errors} of ${requests}`;
}

function figure(value: number): string {
  return value.toPrecision(3);
}
