import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { baseHooks, forward, attendPacked, headRows, loadBase } from '../model/index.ts';
import { BufferPool, frozenLinear, Inference, loadNativeKernels } from '../numeric/index.ts';
import { continueGreedily } from './sample.ts';

const golden = fileURLToPath(new URL('../../test/golden/models/tiny-llama', import.meta.url));
const base = loadBase(join(golden), 'tiny-llama', loadNativeKernels(), 'f32');
const g = new Inference(base.kernels, new BufferPool());

/** The same without a cache: the whole sequence again for every token. */
function recomputed(prompt: readonly number[], count: number): number[] {
  const tokenIds = [...prompt];
  for (let i = 0; i < count; i++) {
    const tokenIds_T = Int32Array.from(tokenIds);
    const attend = attendPacked(base.config, new Int32Array(tokenIds.length));
    const positions_T = Int32Array.from(tokenIds, (_, position) => position);
    const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, baseHooks);
    const logits = frozenLinear(g, headRows(g, base, hidden, Int32Array.of(tokenIds.length - 1)), base.head);
    const best = new Int32Array(1);
    g.kernels.argmaxRows(best, logits.data, 1);
    g.endStep();
    tokenIds.push(best[0]);
  }
  return tokenIds.slice(prompt.length);
}

const prompts = [[3, 1, 4, 1, 5], [9], [2, 6, 5, 3, 5, 8, 9, 7]];

test('several prompts continued at once, with a cache, are each continued as alone and without', () => {
  const limits = { maxTokens: 12, stopTokenIds: [] };
  const together = continueGreedily(
    g,
    base,
    baseHooks,
    prompts.map((prompt) => Int32Array.from(prompt)),
    limits,
  );
  assert.deepEqual(
    together,
    prompts.map((prompt) => recomputed(prompt, 12)),
  );
});

test('an answer ends before a stop token and at the end of the context; the others go on', () => {
  const [answer] = [recomputed(prompts[0], 12)];
  const stop = answer[4];
  const limits = { maxTokens: 12, stopTokenIds: [stop] };
  const [stopped, other] = continueGreedily(
    g,
    base,
    baseHooks,
    prompts.slice(0, 2).map((one) => Int32Array.from(one)),
    limits,
  );
  assert.deepEqual(stopped, answer.slice(0, answer.indexOf(stop)));
  const whole = recomputed(prompts[1], 12);
  assert.deepEqual(other, whole.includes(stop) ? whole.slice(0, whole.indexOf(stop)) : whole);
  const long = Int32Array.from({ length: base.config.contextLength - 2 }, () => 3);
  const [short] = continueGreedily(g, base, baseHooks, [long], { maxTokens: 9, stopTokenIds: [] });
  assert.equal(short.length, 2);
});
