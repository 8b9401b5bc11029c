/** Every PEFT method as Hugging Face PEFT saved it: PEFT's logits, served alone, merged, and all methods of a base in one batch. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { adapterTensors, METHODS, methodOf, mergedHooks, probeAdapter, spanHooks } from '../../src/adapters/index.ts';
import { assertBitEqual, assertClose, compareToReference } from '../../src/numeric/compare.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { plainLogits } from '../support/plain-forward.ts';
import { loadPeftBases, loadPeftCases, type PeftCase } from '../support/peft-cases.ts';
import { floatsOf } from './goldens.ts';

const bases = loadPeftBases();
const CASES = loadPeftCases(bases);

/** The serving form of an adapter over whole sequences. Virtual tokens, token rows, an own embedding or head are the engine's (peft-serving.test.ts): here a plain forward has them. */
function servedLogits({ base, compiled }: PeftCase, ids: readonly (readonly number[])[]): ArrayLike<number>[] {
  if (compiled.virtual ?? compiled.tokenRows ?? compiled.embedding ?? compiled.head)
    return ids.map((tokenIds) => plainLogits(base, compiled, tokenIds).flatMap((row) => [...row]));
  return forwardLogits(base, ids, spanHooks([{ begin: 0, end: ids.flat().length, adapter: compiled }]));
}

test('every method has a golden', () => {
  const covered = new Set(CASES.map(({ adapter }) => methodOf(adapter.config).name));
  for (const { name } of METHODS) if (name !== 'lora') assert.ok(covered.has(name), name);
});

for (const one of CASES) {
  const { name, golden, base, adapter, compiled } = one;
  describe(`${name}: ${golden.about}`, () => {
    const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
    const expected = golden.sequences.map(({ logits }) => floatsOf(logits));

    test('PEFT’s logits', () => {
      for (const [index, logits] of servedLogits(one, ids).entries()) {
        assertClose(logits, expected[index], 'goldenF32', `sequence ${index}`);
      }
    });

    test('the base’s logits would not pass', () => {
      const plain = forwardLogits(base, ids);
      assert.ok(expected.some((logits, index) => !compareToReference(plain[index], logits, 'goldenF32').passes));
    });

    test('holds the bytes of its tensors', () => {
      const buffers = new Set(adapterTensors(compiled).map(({ data }) => data.buffer));
      const bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
      assert.ok(bytes > 0);
      assert.equal(compiled.sizeBytes, bytes);
    });

    const { tokenRows, embedding, head, norms } = compiled;
    if (compiled.sites.size > 0 && !(tokenRows ?? embedding ?? head ?? norms)) {
      test('merged into the base’s layers: PEFT’s logits', () => {
        for (const [index, logits] of forwardLogits(base, ids, mergedHooks(adapter, base)).entries()) {
          assertClose(logits, expected[index], 'goldenF32', `sequence ${index}`);
        }
      });
    }

    test('passes its proof', () => {
      const proof = probeAdapter(base, adapter);
      assert.equal(proof.numModules, compiled.sites.size);
      assert.equal(proof.parity !== undefined, compiled.sites.size > 0);
      if (proof.parity) assert.ok(proof.parity.change > 100 * proof.parity.error, JSON.stringify(proof.parity));
    });
  });
}

for (const [name, base] of bases) {
  test(`${name}: all methods and the base in one pass, each bit-identical to itself alone`, () => {
    const cases = CASES.filter((one) => one.base === base && one.compiled.sites.size > 0);
    assert.ok(new Set(cases.map(({ adapter }) => methodOf(adapter.config).name)).size >= 5);
    const served = [...cases.map(({ compiled }) => compiled), undefined];
    // Sequences of different lengths, the adapters in turn, so that every method has rows at several places.
    const rows = [5, 1, 3].flatMap((length, round) =>
      served.map((adapter, index) => ({
        adapter,
        ids: Array.from({ length }, (_, i) => (round * 31 + index * 7 + i * 3) % base.config.vocabSize),
      })),
    );
    let begin = 0;
    const spans = rows.flatMap(({ adapter, ids }) => {
      const span = { begin, end: (begin += ids.length) };
      return adapter ? [{ ...span, adapter }] : [];
    });
    const together = forwardLogits(
      base,
      rows.map(({ ids }) => ids),
      spanHooks(spans),
    );
    for (const [index, { adapter, ids }] of rows.entries()) {
      const [alone] = forwardLogits(base, [ids], spanHooks(adapter ? [{ begin: 0, end: ids.length, adapter }] : []));
      assertBitEqual(together[index], alone, `row ${index}`);
    }
  });
}
