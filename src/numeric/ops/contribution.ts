import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';

/** The place for a contribution that is added element by element to the gradient of `x`: zeros when it is the first. */
export function zeroedGradient(g: Graph, x: Tensor): Floats {
  const { tensor, accumulate } = g.gradient(x);
  if (!accumulate) tensor.data.fill(0);
  return tensor.data;
}

/**
 * The place for the whole gradient of `x`, for a kernel that writes several at once: scratch memory when `x` needs none, which is what an
 * input of the first adapted layer may be.
 */
export function wholeGradient(g: Graph, x: Tensor): Floats {
  if (!g.needsGradient(x)) return g.empty(x.shape).data;
  const { tensor, accumulate } = g.gradient(x);
  assert(!accumulate, 'the operation is the only reader of its inputs');
  return tensor.data;
}
