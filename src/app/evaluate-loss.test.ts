/** The loss that `evaluate` measures, against the logits that PEFT gave for every method: nothing of an adapter may be left out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floatsOf, type GoldenSequence } from '../../test/conformance/goldens.ts';
import { loadPeftBases, loadPeftCases } from '../../test/support/peft-cases.ts';
import { BASE_ADAPTER } from '../adapters/index.ts';
import type { TokenExample } from '../training/index.ts';
import { measureObjective } from './evaluate-loss.ts';

/** Of a mean loss, relative: two forward passes of float32. */
const TOLERANCE = 1e-5;

/** Every token but the first is to be predicted. */
function exampleOf({ tokenIds }: GoldenSequence): TokenExample {
  return {
    tokenIds: Int32Array.from(tokenIds),
    lossWeights: Float32Array.from(tokenIds, (_, index) => (index === 0 ? 0 : 1)),
  };
}

/** −log p of each token but the first, by PEFT's logits of the tokens before; and whether it is the likeliest. */
function targetsOf({ tokenIds, logits }: GoldenSequence): { readonly nll: number; readonly isTop: boolean }[] {
  const [values, V] = [floatsOf(logits), logits.shape.at(-1) ?? 0];
  // PEFT returns the logits of virtual embeddings too, in front.
  const first = values.length / V - tokenIds.length;
  return tokenIds.slice(1).map((id, index) => {
    const row = values.subarray((first + index) * V, (first + index + 1) * V);
    const highest = Math.max(...row);
    const total = row.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
    return { nll: highest + Math.log(total) - row[id], isTop: row.indexOf(highest) === id };
  });
}

for (const { name, golden, base, compiled } of loadPeftCases(loadPeftBases())) {
  test(`${name}: the loss is that of PEFT's logits`, () => {
    const targets = golden.sequences.flatMap(targetsOf);
    const expected = targets.reduce((sum, { nll }) => sum + nll, 0) / targets.length;
    const examples = golden.sequences.map(exampleOf);
    const { loss, accuracy } = measureObjective('sft', base, compiled, examples);
    assert.ok(Math.abs(loss - expected) <= TOLERANCE * expected, `${loss}, PEFT ${expected}`);
    assert.equal(accuracy, targets.filter(({ isTop }) => isTop).length / targets.length);
    const { loss: ofBase } = measureObjective('sft', base, BASE_ADAPTER, examples);
    assert.ok(Math.abs(ofBase - expected) > 10 * TOLERANCE * expected, 'the base alone has another loss');
  });
}
