import type { ModelConfig } from '../model/index.ts';
import type { Trainable } from './methods.ts';
import { countParameters } from './parameters.ts';

/** Floating point operations for each token; a multiply and an add are two. */
export interface FlopsPerToken {
  readonly forward: number;
  readonly backward: number;
}

/**
 * A training step's operations for each token. Forward is 2 for each weight that multiplies (blocks and head, not the
 * embedding table). Backward is 2 for the gradient of the inputs, and 2 more for the gradient of the weights only where
 * they are trained: a frozen base needs none. Attention adds 2 products with, on average, half of the `seq` tokens; its
 * backward is twice its forward.
 */
export function trainingFlops(config: ModelConfig, trainable: Trainable, seq: number): FlopsPerToken {
  const weights = countParameters(config).linear + config.vocabSize * config.hiddenSize;
  const isFull = trainable.isFull ?? false;
  const adapter = isFull ? 0 : trainable.parameters;
  const attention = 2 * seq * config.numHeads * config.headWidth * config.numLayers;
  return {
    forward: 2 * weights + 2 * adapter + attention,
    backward: (isFull ? 4 : 2) * weights + 4 * adapter + 2 * attention,
  };
}

export interface TimeBill {
  readonly tokens: number;
  readonly gigaflopsPerSecond: number;
  readonly flopsPerToken: FlopsPerToken;
  readonly tokensPerSecond: number;
  readonly seconds: number;
}

/** @param gigaflopsPerSecond what the machine does on products of the model's shapes, in 10^9 operations a second */
export function timeBill(flopsPerToken: FlopsPerToken, tokens: number, gigaflopsPerSecond: number): TimeBill {
  const tokensPerSecond = (gigaflopsPerSecond * 1e9) / (flopsPerToken.forward + flopsPerToken.backward);
  return { tokens, gigaflopsPerSecond, flopsPerToken, tokensPerSecond, seconds: tokens / tokensPerSecond };
}
