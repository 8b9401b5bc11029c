import { assert } from '../base/index.ts';
import type { ComputeDtype, PackingKernels, WeightFormat } from './kernels.ts';
import { loadAddon } from './native-addon.ts';
import { nativeMatrices } from './native-matrices.ts';
import { nativePrograms } from './native-programs.ts';
import { nativeRows } from './native-rows.ts';

/** The kernels in Rust. Their arrays are Float32Arrays. `name` is the instruction set in use. */
export interface NativeKernels extends PackingKernels {
  /** How many threads a kernel uses, the caller's included. */
  readonly threads: number;
  /** Names the bytes that {@link PackingKernels.packInto} writes: part of the key of a cached file. */
  layoutName(format: WeightFormat): string;
}

export interface NativeOptions {
  /** Threads of a kernel, of the whole process; one for each processor unless given. No result depends on it. */
  readonly threads?: number;
  /** Kernels called from this JavaScript thread run on it alone: for a thread that works beside the one that the others are for. */
  readonly isAlone?: boolean;
}

/**
 * Loads the native kernels. The instruction set is the best of the processor, or the one that the environment variable
 * ESPALIER_ISA names.
 * @throws NATIVE_MISSING if the addon has not been built, CONFIG_INVALID if ESPALIER_ISA is not available.
 */
export function loadNativeKernels(options: NativeOptions = {}): NativeKernels {
  const addon = loadAddon();
  if (options.threads !== undefined) {
    const { threads } = options;
    assert(Number.isInteger(threads) && threads >= 1 && threads <= 1024, `${threads} is no number of threads`);
    addon.setThreads(threads);
  }
  if (options.isAlone === true) addon.leavePool();
  return {
    name: addon.instructionSet(),
    threads: addon.threads(),
    layoutName: (format) => addon.packedLayout(format),
    ...nativeMatrices(addon),
    ...nativeRows(addon),
    ...nativePrograms(addon),
  };
}

/** Whether the instruction set in use has such products. @throws as {@link loadNativeKernels} */
export function canComputeIn(dtype: ComputeDtype): boolean {
  return loadAddon().computeDtypes().includes(dtype);
}
