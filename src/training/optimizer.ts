import { fail } from '../base/index.ts';
import type { Kernels, Parameter } from '../numeric/index.ts';
import { decayOf } from './weight-decay.ts';

/** AdamW's settings (Loshchilov and Hutter, 2019), with torch.optim.AdamW's defaults but for the weight decay. */
export interface OptimizerConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Decay leaves biases and norms as they are, as Hugging Face's Trainer has it; it reaches all that is trained when missing, as in older runs. */
  readonly sparesBiasesAndNorms?: true;
  /** Gradients are scaled down so that their norm over all parameters is at most this; 0 turns it off. */
  readonly maxGradientNorm: number;
  /** LoRA+ (Hayou et al., 2024): LoRA's B, and vectors beside it, learn so many times as fast as the rest. 1 when missing. */
  readonly rateRatio?: number;
}

export const DEFAULT_OPTIMIZER: OptimizerConfig = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: 1,
};

/** Moments of one parameter: everything that a checkpoint must hold beside its value. */
export interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
}

export function zeroMoments(parameters: readonly Parameter[]): Moments[] {
  return parameters.map(({ value }) => ({
    first: new Float32Array(value.data.length),
    second: new Float32Array(value.data.length),
  }));
}

export interface AppliedGradients {
  /** Of the mean gradient, before clipping. */
  readonly gradientNorm: number;
  /** What the gradients were multiplied with: 1/weightSum and the clipping factor. */
  readonly gradientScale: number;
}

/**
 * One optimizer step. The gradients hold a sum over all micro-batches; it is divided by `weightSum` here, once, so the number
 * of micro-batches cannot change its meaning. {@link clearGradients} comes after it.
 * @param step counted from 1
 * @throws TRAINING_DIVERGED for a gradient that is not finite; values and moments are as they were then
 */
export function applyGradients(
  kernels: Kernels,
  parameters: readonly Parameter[],
  moments: readonly Moments[],
  config: OptimizerConfig,
  { weightSum, learningRate, step }: { weightSum: number; learningRate: number; step: number },
): AppliedGradients {
  let sumSquares = 0;
  for (const { gradient } of parameters) sumSquares += kernels.sumSquares(gradient.data);
  const gradientNorm = Math.sqrt(sumSquares) / weightSum;
  if (!Number.isFinite(gradientNorm)) {
    fail(
      'TRAINING_DIVERGED',
      `the gradient of step ${step} is not finite: start anew with a lower --learning-rate (now ${learningRate})`,
    );
  }
  const { maxGradientNorm } = config;
  // torch.nn.utils.clip_grad_norm_ adds 1e-6 to the norm; so do we, to clip by the same factor.
  const clip = maxGradientNorm > 0 ? Math.min(1, maxGradientNorm / (gradientNorm + 1e-6)) : 1;
  const gradientScale = clip / weightSum;
  for (const [index, parameter] of parameters.entries()) {
    const { first, second } = moments[index];
    kernels.adamW(parameter.value.data, parameter.gradient.data, first, second, {
      learningRate: isFast(parameter) ? learningRate * (config.rateRatio ?? 1) : learningRate,
      beta1: config.beta1,
      beta2: config.beta2,
      epsilon: config.epsilon,
      weightDecay: decayOf(parameter, config),
      step,
      gradientScale,
    });
  }
  return { gradientNorm, gradientScale };
}

/** What LoRA+ gives the higher rate, by PEFT's rule; the embedding's pair (`lora_embedding_A`, `_B`) is left at the base rate. */
function isFast({ name, value }: Parameter): boolean {
  return name.includes('lora_B') || value.shape.length === 1;
}

/** Zeros, for the next step to add to. */
export function clearGradients(parameters: readonly Parameter[]): void {
  for (const { gradient } of parameters) gradient.data.fill(0);
}
