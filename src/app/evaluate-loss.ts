import { passHooks, type CompiledAdapter } from '../adapters/index.ts';
import type { BaseModel } from '../model/index.ts';
import { BufferPool, Inference } from '../numeric/index.ts';
import { evaluateStep, makeObjective, microBatches, type TokenExample } from '../training/index.ts';

/** Rows of one forward pass. */
const BATCH_ROWS = 2048;

/**
 * Mean loss of an objective (nats a learned token, or a pair), and the share of its predictions that are right, over examples. The adapter takes part
 * with all that it has, as in training and in serving.
 */
export function measureObjective(
  name: 'sft' | 'dpo',
  base: BaseModel,
  adapter: CompiledAdapter,
  examples: readonly TokenExample[],
  onProgress?: (numDone: number, total: number) => void,
): { readonly loss: number; readonly accuracy: number } {
  const g = new Inference(base.kernels, new BufferPool());
  const hooks = passHooks(adapter, base);
  // The accuracy depends on the signs of rewards alone, not on beta.
  const objective = makeObjective(name === 'sft' ? { name } : { name, beta: 1, labelSmoothing: 0 }, base, g);
  let [lossSum, weightSum, numTop, numTargets] = [0, 0, 0, 0];
  for (const [begin, end] of microBatches(examples, BATCH_ROWS, hooks, true)) {
    const loss = evaluateStep(g, base, hooks, objective.pack(examples.slice(begin, end)), objective, true);
    lossSum += loss.lossSum;
    weightSum += loss.weightSum;
    numTop += loss.numTop;
    numTargets += loss.numTargets;
    onProgress?.(end, examples.length);
  }
  return { loss: lossSum / weightSum, accuracy: numTop / numTargets };
}
