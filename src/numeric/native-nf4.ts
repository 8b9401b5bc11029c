import { assert, NF4_BLOCK, NF4_NESTED_BLOCK } from '../base/index.ts';
import type { FrozenMatrix, Nf4Codes, Nf4Quantised, PackingKernels } from './kernels.ts';
import { type Addon, type Handle, floats, size } from './native-addon.ts';

export type Nf4Functions = Pick<PackingKernels, 'freezeNf4' | 'packNf4Into' | 'quantiseNf4'>;

/** NF4 by its codes: every argument is checked here. @param wrap makes a frozen matrix of the addon's memory */
export function nativeNf4(
  addon: Addon,
  wrap: (out: number, inputs: number, handle: Handle) => FrozenMatrix,
): Nf4Functions {
  return {
    freezeNf4({ codes, magnitudes }, out, inputs) {
      checkCodes({ codes, magnitudes }, out, inputs);
      return wrap(out, inputs, addon.freezeNf4(codes, magnitudes, out, inputs));
    },

    packNf4Into(target, { codes, magnitudes }, out, inputs) {
      checkCodes({ codes, magnitudes }, out, inputs);
      bytes('the target', target, addon.packedBytes(out, inputs, 'nf4'));
      addon.packNf4Into(target, codes, magnitudes, out, inputs);
    },

    quantiseNf4(weight): Nf4Quantised {
      const numBlocks = Math.ceil(weight.length / NF4_BLOCK);
      const codes = new Uint8Array(Math.ceil(weight.length / 2));
      const absmax = new Float32Array(numBlocks);
      const nested = {
        codes: new Uint8Array(numBlocks),
        absmax: new Float32Array(Math.ceil(numBlocks / NF4_NESTED_BLOCK)),
        map: new Float32Array(256),
      };
      const dense = floats('weight', weight, weight.length);
      const offset = addon.quantiseNf4(codes, absmax, nested.codes, nested.absmax, dense);
      addon.nestedMap(nested.map);
      return { codes, absmax, nested: { ...nested, offset } };
    },
  };
}

function checkCodes({ codes, magnitudes }: Nf4Codes, out: number, inputs: number): void {
  const count = size('out', out) * size('in', inputs);
  bytes('the codes', codes, Math.ceil(count / 2));
  floats('magnitudes', magnitudes, Math.ceil(count / NF4_BLOCK));
}

function bytes(name: string, array: Uint8Array, length: number): void {
  assert(array instanceof Uint8Array, `${name} are bytes`);
  assert(array.length === length, `${name} have ${array.length} bytes where ${length} are expected`);
}
