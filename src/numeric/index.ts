/**
 * numeric: tensors, reverse-mode autodiff and the operations, over a kernel set; the face of the native addon.
 * Owns: the kernel contract, the float64 oracle, buffers of a step.
 * May import: base.   Called by: model adapters training serving app.
 * Runs on: any thread; one graph belongs to one thread.
 * Throws: NATIVE_MISSING CONFIG_INVALID FILE_INVALID REQUEST_INVALID INTERNAL.
 */
export type * from './kernels.ts';
export { COMPUTE_DTYPES, WEIGHT_FORMATS } from './kernels.ts';
export { compareToReference, type Comparison } from './compare.ts';
export { type Tensor, tensor, sizeOf } from './tensor.ts';
export {
  packRowProgram,
  type ProgramSpan,
  type RowOperation,
  type RowProgram,
  type SlotOperations,
  type PackingOptions,
} from './row-program.ts';
export { isAdditive, mixRowPrograms, type WeightedProgram } from './row-program-mix.ts';
export { BufferPool, type Precision } from './pool.ts';
export { type Graph, type GradientSlot, Inference } from './graph.ts';
export { Tape, type Parameter, type TapeOptions } from './tape.ts';
export { frozenLinear, addLowRankDelta, observeGradient } from './ops/linear.ts';
export { rmsNorm } from './ops/norm.ts';
export { rotate, packedAttention } from './ops/attention.ts';
export { addInPlace, swiglu, gatherRows, joinRows, dropout, sumOfScalars } from './ops/elementwise.ts';
export { multiplyColumns, scaleAround, addColumns } from './ops/columns.ts';
export { matmul, multiply, kronecker, denseLinear, addDenseDelta } from './ops/matrix.ts';
export { multiplyBlocks } from './ops/blocks.ts';
export { activate, type Activation } from './ops/activations.ts';
export {
  addRows,
  gatherColumns,
  joinColumns,
  replaceColumns,
  replaceRows,
  sliceColumns,
  type RowCopies,
} from './ops/slices.ts';
export { isLogitsHead, type Head, type LogitsHead } from './ops/logits-loss.ts';
export { blockProducts } from './ops/block-products.ts';
export { inverseFourier, type Frequencies } from './ops/fourier.ts';
export { rearrange, transpose } from './ops/rearrange.ts';
export { reflectionFactors, unitRows } from './ops/reflections.ts';
export { scaledBases } from './ops/scaled-bases.ts';
export { mixTopVectors } from './ops/vector-bank.ts';
export { linearCrossEntropy, type CrossEntropy, type Targets } from './ops/loss.ts';
export { distillationLoss, type Distillation, type DistillationLoss } from './ops/distillation.ts';
export { sequenceLogProbs, type SequenceLogProbs } from './ops/sequence-log-probs.ts';
export { nearestProduct, singularParts, singularPartsOfProduct, type SingularParts } from './singular-values.ts';
export { largeMemory } from './large-memory.ts';
export { canComputeIn, loadNativeKernels } from './native.ts';
export {
  loadNativeGrammars,
  type GrammarProgress,
  type NativeGrammar,
  type NativeGrammars,
  type TokenBytes,
} from './native-grammars.ts';
export { referenceKernels } from './reference/index.ts';
