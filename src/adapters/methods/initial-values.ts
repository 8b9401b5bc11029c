import type { Rng } from '../../base/index.ts';
import type { Floats } from '../../numeric/index.ts';

/** U(−bound, bound), in the order of the values. */
export function fillUniform(values: Floats, bound: number, rng: Rng): void {
  for (let i = 0; i < values.length; i++) values[i] = (2 * rng.nextFloat() - 1) * bound;
}

/** PyTorch's `kaiming_uniform_(a=sqrt(5))` of a matrix with `inputs` columns, which PEFT uses nearly everywhere: U(−1/sqrt(in), 1/sqrt(in)). */
export function fillKaiming(values: Floats, inputs: number, rng: Rng): void {
  fillUniform(values, 1 / Math.sqrt(inputs), rng);
}
