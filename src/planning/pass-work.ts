import { linearSites, type ModelConfig } from '../model/index.ts';
import type { Trainable } from './methods.ts';
import { countParameters } from './parameters.ts';

/** Examples of a training step and how they are held: `seq` tokens each, as many at once as the micro-batch takes. */
export interface StepShape {
  readonly batch: number;
  readonly seq: number;
  /** Tokens of one forward and backward pass, at most; an example is never cut. All of the batch at once when missing. */
  readonly microBatchTokens?: number | undefined;
}

/** The passes of a step, by their sequences: as `groupByTokens` of training cuts a batch of equal examples. */
export function passesOf({ batch, seq, microBatchTokens }: StepShape): number[] {
  const atOnce = microBatchTokens === undefined ? batch : Math.max(1, Math.floor(microBatchTokens / seq));
  const passes: number[] = [];
  for (let left = batch; left > 0; left -= atOnce) passes.push(Math.min(atOnce, left));
  return passes;
}

/** What one forward and backward pass does, in the units that a machine's figures have a price for. */
export interface PassWork {
  /** Operations of products with the base's weights, the head included. */
  readonly baseFlops: number;
  /** The base's weights that are multiplied, once for each pass: they are read, and widened, whatever the tokens. */
  readonly baseWeights: number;
  readonly attentionFlops: number;
  /** Operations of low-rank products. */
  readonly adapterFlops: number;
  /** Numbers that go into and come out of adapted layers, over all tokens. */
  readonly adapterValues: number;
  /** Weights of adapted layers, once for each pass: some methods compute with all of them. */
  readonly adaptedWeights: number;
}

/**
 * The work of a pass over `sequences` of `seq` tokens with a loss at every position. Forward is 2 operations for each weight that multiplies
 * (blocks and head, not the embedding table) and token; backward is 2 for the gradient of the inputs, and 2 more for the gradient of the weights
 * only where they are trained. Attention adds 2 products with, on average, half of the `seq` tokens; its backward is twice its forward.
 */
export function passWork(config: ModelConfig, trainable: Trainable, sequences: number, seq: number): PassWork {
  const tokens = sequences * seq;
  const weights = countParameters(config).linear + config.vocabSize * config.hiddenSize;
  const isFull = trainable.isFull ?? false;
  const adapted = linearSites(config).filter(({ role }) => trainable.roles.includes(role));
  return {
    baseFlops: tokens * (isFull ? 6 : 4) * weights,
    baseWeights: weights,
    attentionFlops: tokens * 3 * 2 * seq * config.numHeads * config.headWidth * config.numLayers,
    adapterFlops: isFull ? 0 : tokens * 6 * trainable.parameters,
    adapterValues: tokens * adapted.reduce((sum, site) => sum + site.in + site.out, 0),
    adaptedWeights: adapted.reduce((sum, site) => sum + site.in * site.out, 0),
  };
}
