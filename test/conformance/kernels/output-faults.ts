/** Faults that any kernel can have: something happens to what it has written. */
import type { Fault } from './fault.ts';
import { fault, nudge, ORACLE } from './fault.ts';
import type { Method } from './check.ts';

type Output = Float32Array | Uint8Array;
/** Changes what a kernel has written; `before` is what was there. */
type Spoil = (output: Output, before: Output, threads: number) => void;

const SPOILS: Readonly<Record<string, Spoil>> = {
  'writes NaN (or 255) to one element': (output) => output.fill(output instanceof Uint8Array ? 255 : NaN, -1),
  'does not write its last element': (output, before) => output.set(before.subarray(-1), output.length - 1),
  'writes nothing': (output, before) => output.set(before),
  'writes zeros': (output) => output.fill(0),
  'writes its elements in another order': (output) => output.reverse(),
  'gets one element wrong': (output) => (output[0] += 1),
  'has other bits with three threads': (output, _, threads) => threads === 3 && nudge(output, 0),
};

/** Where each kernel's outputs are among its arguments. */
const OUTPUTS: readonly (readonly [Method, readonly number[]])[] = [
  ['linearForward', [0]],
  ['linearBackward', [0]],
  ['gemm', [0]],
  ['rmsNormForward', [0, 1]],
  ['rmsNormBackward', [0]],
  ['rope', [0]],
  ['swigluForward', [0]],
  ['swigluBackward', [0, 1]],
  ['attentionForward', [0, 1]],
  ['attentionBackward', [0, 1, 2]],
  ['cacheKeyValues', [0, 1]],
  ['attentionPaged', [0]],
  ['scaleInputs', [0]],
  ['applyRows', [0]],
  ['embeddingForward', [0]],
  ['linearCrossEntropy', [0, 1, 2]],
  ['axpy', [0]],
  ['adamW', [0, 2, 3]],
];

function spoiled(method: Method, argument: number, spoil: Spoil): Fault['of'] {
  return (kernels, threads) => ({
    [method]: (...args: unknown[]): unknown => {
      const output = args[argument] as Output | null;
      const before = output?.slice();
      const result: unknown = Reflect.apply(Reflect.get(kernels, method), kernels, args);
      if (output && before && output.length > 0) spoil(output, before, threads());
      return result;
    },
  });
}

export const outputFaults: readonly Fault[] = OUTPUTS.flatMap(([method, outputs]) =>
  outputs.flatMap((argument) =>
    Object.entries(SPOILS).map(([name, spoil]) =>
      fault(method, `${name} of argument ${argument}`, ORACLE, spoiled(method, argument, spoil)),
    ),
  ),
);
