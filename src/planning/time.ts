import type { ModelConfig } from '../model/index.ts';
import type { BaseFormat, Trainable } from './methods.ts';
import { passSeconds, type MachineFigures } from './machine.ts';
import { isPriced } from './machine-doubts.ts';
import { passesOf, passWork, type StepShape } from './pass-work.ts';

/** Floating point operations for each token; a multiply and an add are two. */
export interface FlopsPerToken {
  readonly forward: number;
  readonly backward: number;
}

/** A training step's operations for each token, as {@link passWork} counts them. */
export function trainingFlops(config: ModelConfig, trainable: Trainable, seq: number): FlopsPerToken {
  const work = passWork(config, trainable, 1, seq);
  const isFull = trainable.isFull ?? false;
  const forwardShare = isFull ? 1 / 3 : 1 / 2;
  const [base, attention, adapter] = [work.baseFlops, work.attentionFlops, work.adapterFlops].map((all) => all / seq);
  return {
    forward: base * forwardShare + (attention + adapter) / 3,
    backward: base * (1 - forwardShare) + ((attention + adapter) * 2) / 3,
  };
}

export interface TimeBill {
  readonly tokens: number;
  readonly gigaflopsPerSecond: number;
  readonly flopsPerToken: FlopsPerToken;
  /** Once the run is under way. */
  readonly tokensPerSecond: number;
  /** Of them `startSeconds` are taken once, however long the run. */
  readonly seconds: number;
  readonly startSeconds: number;
  /** By what the machine was measured to do, and not by a rate that was given or assumed. */
  readonly isMeasured: boolean;
}

/** @param gigaflopsPerSecond what the machine does on products of the model's shapes, in 10^9 operations a second */
export function timeBill(flopsPerToken: FlopsPerToken, tokens: number, gigaflopsPerSecond: number): TimeBill {
  const tokensPerSecond = (gigaflopsPerSecond * 1e9) / (flopsPerToken.forward + flopsPerToken.backward);
  const seconds = tokens / tokensPerSecond;
  return { tokens, gigaflopsPerSecond, flopsPerToken, tokensPerSecond, seconds, startSeconds: 0, isMeasured: false };
}

/** A run of which a calibrated machine knows the time. */
export interface TimedRun {
  readonly config: ModelConfig;
  readonly trainable: Trainable;
  readonly method: string;
  readonly format: BaseFormat;
  readonly shape: StepShape;
}

/** The bill by a machine's own figures. @returns undefined when the base's format was not measured, or came out without a price */
export function calibratedTime(machine: MachineFigures, run: TimedRun, tokens: number): TimeBill | undefined {
  const { config, trainable, shape } = run;
  if (!isPriced(machine, run.format)) return undefined;
  let stepSeconds = 0;
  for (const sequences of passesOf(shape)) {
    const seconds = passSeconds(machine, run, passWork(config, trainable, sequences, shape.seq));
    if (seconds === undefined) return undefined;
    stepSeconds += seconds;
  }
  const flopsPerToken = trainingFlops(config, trainable, shape.seq);
  const tokensPerSecond = (shape.batch * shape.seq) / stepSeconds;
  const gigaflopsPerSecond = (tokensPerSecond * (flopsPerToken.forward + flopsPerToken.backward)) / 1e9;
  const { startSeconds = 0 } = machine;
  const seconds = startSeconds + tokens / tokensPerSecond;
  return { tokens, gigaflopsPerSecond, flopsPerToken, tokensPerSecond, seconds, startSeconds, isMeasured: true };
}
