/** Kernels with deliberate faults: what the suite must reject. */
import type { Floats, PackingKernels } from '../../../src/numeric/kernels.ts';
import type { Method } from './check.ts';

export interface Fault {
  readonly method: Method;
  readonly name: string;
  /** Picks the checks of the method of which at least one must reject the fault. */
  readonly check: RegExp;
  readonly of: (kernels: PackingKernels, threads: () => number) => Partial<PackingKernels>;
}

/** Names of the checks against the oracle. */
export const ORACLE = /oracle/;
/** Names of the laws that a result does not depend on what is beside it. */
export const ALONE = /alone|at another place/;

export const fault = (method: Method, name: string, check: RegExp, of: Fault['of']): Fault => ({
  method,
  name,
  check,
  of,
});

/** Moves an element by the smallest amount there is. */
export function nudge(output: Floats | Uint8Array, index: number): void {
  const bytes = new Uint8Array(output.buffer, output.byteOffset + index * output.BYTES_PER_ELEMENT, 1);
  bytes[0] ^= 1;
}
