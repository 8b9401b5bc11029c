/** Adapters that Hugging Face PEFT saved, applied here: PEFT's logits, in both forms (training hooks, serving primitives). */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { compileAdapter, loraScales, trainableMethodOf, readArtefact, spanHooks } from '../../src/adapters/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { assertBitEqual, assertClose } from '../../src/numeric/compare.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenSequence } from './goldens.ts';

interface AdapterGolden {
  readonly modules: readonly { path: string; rank: number; alpha: number; scale: number }[];
  readonly sequences: readonly GoldenSequence[];
}

const CASES = ['lora-attention', 'lora-all-linear', 'lora-regex', 'lora-exclude-layers', 'lora-bf16'];
const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');

for (const name of CASES) {
  describe(name, () => {
    const golden = readGolden<AdapterGolden>('peft', name, 'golden.json');
    const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
    const adapter = readArtefact(join(GOLDEN, 'peft', name), base);

    test('adapts the modules that PEFT adapts, with its scales', () => {
      const compiled = compileAdapter(adapter, base);
      assert.deepEqual([...compiled.sites.keys()].toSorted(), golden.modules.map(({ path }) => path).toSorted());
      assert.ok(adapter.config.peft_type === 'LORA');
      const scaleOf = loraScales(adapter.config);
      for (const { path, rank, scale } of golden.modules) {
        assert.deepEqual(scaleOf(path), { rank, scale });
      }
    });

    test('training form: PEFT logits', () => {
      const hooks = trainableMethodOf(adapter.config).bind(adapter.config, base, adapter.tensors, {
        dropoutRng: undefined,
      });
      for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
        assertClose(logits, floatsOf(golden.sequences[index].logits), 'goldenF32', `sequence ${index}`);
      }
    });

    test('serving form: the same bits as the training form', () => {
      const compiled = compileAdapter(adapter, base);
      const hooks = trainableMethodOf(adapter.config).bind(adapter.config, base, adapter.tensors, {
        dropoutRng: undefined,
      });
      const numRows = ids.flat().length;
      const served = forwardLogits(base, ids, spanHooks([{ begin: 0, end: numRows, adapter: compiled }]));
      for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
        assertBitEqual(served[index], logits, `sequence ${index}`);
      }
    });
  });
}

test('B = 0 gives the base, bit for bit', () => {
  const adapter = readArtefact(join(GOLDEN, 'peft', 'lora-train', 'initial'), base);
  const hooks = trainableMethodOf(adapter.config).bind(adapter.config, base, adapter.tensors, {
    dropoutRng: undefined,
  });
  const { sequences } = readGolden<AdapterGolden>('peft', 'lora-attention', 'golden.json');
  const ids = sequences.map(({ tokenIds }) => tokenIds);
  const plain = forwardLogits(base, ids);
  for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) assertBitEqual(logits, plain[index]);
});

test('rows of different adapters and of the base in one pass are those of each alone, bit for bit', () => {
  const { sequences } = readGolden<AdapterGolden>('peft', 'lora-attention', 'golden.json');
  const ids = [...sequences.map(({ tokenIds }) => tokenIds), [1, 2, 3, 4, 5]];
  const compiled = CASES.slice(0, 3).map((name) =>
    compileAdapter(readArtefact(join(GOLDEN, 'peft', name), base), base),
  );
  let begin = 0;
  const spans = ids.flatMap((sequence, index) => {
    const span = { begin, end: begin + sequence.length, adapter: compiled[index] };
    begin = span.end;
    return span.adapter ? [span] : [];
  });
  const together = forwardLogits(base, ids, spanHooks(spans));
  for (const [index, sequence] of ids.entries()) {
    const adapter = compiled[index];
    const hooks = spanHooks(adapter ? [{ begin: 0, end: sequence.length, adapter }] : []);
    const [alone] = forwardLogits(base, [sequence], hooks);
    assertBitEqual(together[index], alone, `sequence ${index}`);
  }
});
