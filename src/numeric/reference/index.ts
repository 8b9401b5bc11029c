/**
 * The naive version of every kernel, which stays for ever as the oracle: plain loops in float64 that read like the formula. It is
 * slow on purpose. A native kernel is right when it agrees with this one; this one is right when its backwards agree with
 * central differences and its values with PyTorch's.
 */
import type { Kernels } from '../kernels.ts';
import { adamW } from './adamw.ts';
import { attentionBackward, attentionForward, attentionPaged, cacheKeyValues } from './attention.ts';
import { linearCrossEntropy } from './cross-entropy.ts';
import { argmaxRows, axpy, sumSquares } from './elementwise.ts';
import { embeddingForward } from './embedding.ts';
import { freeze, freezeNf4, thaw } from './frozen-matrix.ts';
import { gemm } from './gemm.ts';
import { linearBackward, linearForward } from './linear.ts';
import { rmsNormBackward, rmsNormForward } from './rms-norm.ts';
import { rope } from './rope.ts';
import { applyRows, bindRows, scaleInputs } from './row-program.ts';
import { swigluBackward, swigluForward } from './swiglu.ts';

/**
 * The oracle's kernel set. Every array may be a Float64Array (exact) or a Float32Array (results are rounded when they are written).
 * Throws INTERNAL where an array has the wrong length, an id is out of range, or a matrix comes from another kernel set.
 */
export function referenceKernels(): Kernels {
  return {
    name: 'reference',
    freeze,
    freezeNf4,
    thaw,
    linearForward,
    linearBackward,
    gemm,
    rmsNormForward,
    rmsNormBackward,
    rope,
    swigluForward,
    swigluBackward,
    attentionForward,
    attentionBackward,
    cacheKeyValues,
    attentionPaged,
    bindRows,
    scaleInputs,
    applyRows,
    argmaxRows,
    embeddingForward,
    linearCrossEntropy,
    axpy,
    sumSquares,
    adamW,
  };
}
