import type { AdamW, Floats } from '../kernels.ts';
import { requireLength } from './lengths.ts';

/** One step in place, Algorithm 2 of Loshchilov and Hutter (2019): the decay is decoupled from the gradient, both moments are corrected. */
export function adamW(weights: Floats, gradients: Floats, moment1: Floats, moment2: Floats, options: AdamW): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = options;
  requireLength('gradients', gradients, weights.length);
  requireLength('moment1', moment1, weights.length);
  requireLength('moment2', moment2, weights.length);
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i] * gradientScale;
    const m = beta1 * moment1[i] + (1 - beta1) * gradient;
    const v = beta2 * moment2[i] + (1 - beta2) * gradient ** 2;
    const corrected1 = m / (1 - beta1 ** step);
    const corrected2 = v / (1 - beta2 ** step);
    const decayed = weights[i] * (1 - learningRate * weightDecay);
    weights[i] = decayed - (learningRate * corrected1) / (Math.sqrt(corrected2) + epsilon);
    moment1[i] = m;
    moment2[i] = v;
  }
}
