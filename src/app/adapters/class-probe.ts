/** The proof of a classifier: what the engine answers for its labels, in a batch, against a plain pass. */
import { PARITY_TOLERANCES, type CompiledAdapter } from '../../adapters/index.ts';
import { assert, fail } from '../../base/index.ts';
import type { BaseModel } from '../../model/index.ts';
import { compareToReference } from '../../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY, type GenerateRequest } from '../../serving/index.ts';
import { plainLogits, STEP_TOKENS, type RowProbe } from './plain-logits.ts';

/**
 * Compares the logits of the labels.
 * @param prompt tokens to classify
 * @throws ADAPTER_INVALID the two differ
 */
export function probeClasses(base: BaseModel, adapter: CompiledAdapter, prompt: readonly number[]): RowProbe {
  const served = servedClasses(base, adapter, prompt);
  const plain = plainLogits(base, adapter, prompt, 1);
  const tolerance = PARITY_TOLERANCES[base.format];
  const { passes, error, message } = compareToReference(served, plain, tolerance);
  if (passes) return { error, tolerance };
  return fail('ADAPTER_INVALID', `the adapter's labels in a batch are not those of a plain pass: ${message}`, {
    param: 'parity',
  });
}

/** In steps with the same prompt on the base. */
function servedClasses(base: BaseModel, adapter: CompiledAdapter, prompt: readonly number[]): Float32Array {
  const cacheTokens = 2 * ((adapter.virtual?.count ?? 0) + prompt.length) + 256;
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxStepTokens: STEP_TOKENS, cacheTokens });
  const ask = (id: string): GenerateRequest => ({
    id,
    adapter: id === 'base' ? null : id,
    promptTokenIds: Int32Array.from(prompt),
    maxTokens: 0,
    stopTokenIds: [],
    sampling: GREEDY,
    ...(id === 'base' ? { embedding: 'last' } : { classify: true }),
  });
  engine.submit(ask('base'));
  engine.submit(ask('adapter'), adapter);
  let logits: Float32Array | undefined;
  while (engine.hasWork) {
    const { events, failures } = engine.step();
    for (const { error } of failures) throw error;
    for (const { classes } of events) logits ??= classes?.logits_C;
  }
  assert(logits, 'a request for labels ends with their logits');
  return logits;
}
