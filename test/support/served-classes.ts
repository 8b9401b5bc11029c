import assert from 'node:assert/strict';
import type { CompiledAdapter } from '../../src/adapters/index.ts';
import type { BaseModel } from '../../src/model/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY } from '../../src/serving/index.ts';

/** The logits of the labels of a classifier, one row for each prompt, as the engine gives them in steps that mix prompts, an adapter that generates if given, and the base. */
export function servedClasses(
  base: BaseModel,
  prompts: readonly Int32Array[],
  classifier: CompiledAdapter,
  other?: CompiledAdapter,
): Float32Array[] {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxStepTokens: 16 });
  const found: Float32Array[] = [];
  for (const [index, promptTokenIds] of prompts.entries()) {
    const request = { promptTokenIds, stopTokenIds: [], sampling: GREEDY };
    engine.submit({ ...request, id: String(index), adapter: 'own', maxTokens: 0, classify: true }, classifier);
    if (!other) continue;
    engine.submit({ ...request, id: `other ${index}`, adapter: 'other', maxTokens: 3 }, other);
    engine.submit({ ...request, id: `base ${index}`, adapter: null, maxTokens: 2 });
  }
  while (engine.hasWork) {
    const { events, failures } = engine.step();
    for (const { error } of failures) throw error;
    for (const { id, classes } of events) if (classes) found[Number(id)] = classes.logits_C;
  }
  assert.equal(found.length, prompts.length);
  return found;
}
