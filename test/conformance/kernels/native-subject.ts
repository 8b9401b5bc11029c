import { loadNativeKernels } from '../../../src/numeric/native.ts';
import type { Subject } from './check.ts';

/** The native kernels on the instruction set that ESPALIER_ISA names, else on the best one. */
export function nativeSubject(): Subject {
  return {
    kernels: loadNativeKernels(),
    // The thread count belongs to the process, whoever loads the kernels.
    setThreads: (threads) => void loadNativeKernels({ threads }),
  };
}
