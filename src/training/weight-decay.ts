import type { Problem } from '../base/index.ts';
import type { Parameter } from '../numeric/index.ts';
import type { OptimizerConfig } from './optimizer.ts';

/** Names in lower case of what Hugging Face's Trainer does not decay: biases, and gains of norms (`Trainer.get_decay_parameter_names`). */
const SPARED: readonly RegExp[] = [/bias/, /layernorm/, /rmsnorm/, /(?:^|\.)norm(?:$|\.)/, /_norm(?:$|\.)/];

/** Whether a parameter is a bias or belongs to a norm, by its name. */
export function isBiasOrNorm(name: string): boolean {
  const lower = name.toLowerCase();
  return SPARED.some((pattern) => pattern.test(lower));
}

/** How much a step takes off a parameter, in shares of the learning rate. */
export function decayOf(
  { name }: Pick<Parameter, 'name'>,
  { weightDecay, sparesBiasesAndNorms }: Pick<OptimizerConfig, 'weightDecay' | 'sparesBiasesAndNorms'>,
): number {
  return weightDecay !== 0 && sparesBiasesAndNorms && isBiasOrNorm(name) ? 0 : weightDecay;
}

/** A warning of a decay that reaches nothing. */
export function decayWarnings(config: OptimizerConfig, parameters: readonly Pick<Parameter, 'name'>[]): Problem[] {
  if (config.weightDecay === 0 || parameters.some((parameter) => decayOf(parameter, config) !== 0)) return [];
  const message = 'weight decay reaches nothing: only biases and norms are trained, which it leaves as they are';
  return [{ where: 'settings', message }];
}
