/** A plain forward pass of an adapter, for probes: what serving computes in a batch is held against it. */
import { passHooks, type CompiledAdapter } from '../../adapters/index.ts';
import { attendPacked, forward, headRows, logitsAt, type BaseModel } from '../../model/index.ts';
import { BufferPool, Inference, type Floats } from '../../numeric/index.ts';

/** Tokens of a probe's step: few, so that a prompt and virtual tokens are computed in pieces, as a batch does it. */
export const STEP_TOKENS = 7;

export interface RowProbe {
  /** ‖served − plain‖ / ‖plain‖ of the logits. */
  readonly error: number;
  readonly tolerance: number;
}

/** Logits at the last `count` of these tokens, [count · V] (or of a classifier's labels), by a pass that knows no cache and no batch. */
export function plainLogits(
  base: BaseModel,
  adapter: CompiledAdapter,
  tokenIds: readonly number[],
  count: number,
): Floats {
  const { config, kernels } = base;
  const hooks = passHooks(adapter, base);
  const g = new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
  // What stands for a virtual token is written over.
  const tokenIds_T = Int32Array.from([...new Int32Array(hooks.numVirtual ?? 0), ...tokenIds]);
  const T = tokenIds_T.length;
  const positions_T = Int32Array.from(tokenIds_T, (_, row) => row);
  const attend = attendPacked(config, new Int32Array(T));
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  const wanted = Int32Array.from({ length: count }, (_, n) => T - count + n);
  return logitsAt(g, base, headRows(g, base, hidden, wanted, hooks), hooks).data;
}
