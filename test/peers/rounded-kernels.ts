import { bf16FromFloat, floatFromBf16 } from '../../src/base/index.ts';
import type { Floats } from '../../src/numeric/index.ts';
import type { NativeKernels } from '../../src/numeric/native.ts';

/**
 * The native kernels, but the result of every product, of the base's and the adapter's, is rounded to bfloat16 where it is stored, which is what torch does
 * in bf16: what a layer and its adapter add up to is rounded too. Everything else (norms, attention, the loss, AdamW) stays as it is.
 */
export function roundProducts(kernels: NativeKernels): NativeKernels {
  return {
    ...kernels,
    linearForward(y, x, weight, T, accumulate) {
      kernels.linearForward(y, x, weight, T, accumulate);
      round(y);
    },
    linearBackward(dx, dy, weight, T, accumulate) {
      kernels.linearBackward(dx, dy, weight, T, accumulate);
      round(dx);
    },
    gemm(c, a, b, shape) {
      kernels.gemm(c, a, b, shape);
      round(c);
    },
  };
}

function round(values: Floats): void {
  for (let i = 0; i < values.length; i++) values[i] = floatFromBf16(bf16FromFloat(values[i]));
}
