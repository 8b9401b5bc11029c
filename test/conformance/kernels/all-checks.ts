import { attentionChecks } from './attention-checks.ts';
import type { KernelCheck } from './check.ts';
import { crossEntropyChecks } from './cross-entropy-checks.ts';
import { elementChecks } from './element-checks.ts';
import { gemmChecks } from './gemm-checks.ts';
import { linearChecks } from './linear-checks.ts';
import { nf4Checks } from './nf4-checks.ts';
import { programChecks } from './program-checks.ts';
import { rowChecks } from './row-checks.ts';

/** The whole suite. */
export const ALL_CHECKS: readonly KernelCheck[] = [
  ...linearChecks,
  ...nf4Checks,
  ...gemmChecks,
  ...rowChecks,
  ...elementChecks,
  ...attentionChecks,
  ...programChecks,
  ...crossEntropyChecks,
];
