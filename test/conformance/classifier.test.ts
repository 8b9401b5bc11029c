/** Classification heads against Hugging Face PEFT (SEQ_CLS on torch): twenty steps of training, folders both ways, labels as they are served. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { artefactDigest, compileAdapter, readArtefact, writeArtefact } from '../../src/adapters/index.ts';
import { probeRows } from '../../src/app/adapters/row-probe.ts';
import { CLASSIFIER_MODULES, openSafetensors, scoreName } from '../../src/formats/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { Engine, GREEDY } from '../../src/serving/index.ts';
import { packExamples, type TokenExample } from '../../src/training/pack.ts';
import { servedClasses } from '../support/served-classes.ts';
import { randomAdapter } from '../support/tiny-adapters.ts';
import { replayTraining, type Replay } from '../support/replay-training.ts';
import { assertLosses, assertTrainedAlike, type TrainedGolden } from '../support/training-golden.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenSequence } from './goldens.ts';

interface ClassifierGolden extends TrainedGolden {
  readonly settings: Replay['settings'];
  readonly learningRates: readonly number[];
  readonly batches: readonly (readonly { readonly tokenIds: number[]; readonly label: number }[])[];
  readonly sequences: readonly GoldenSequence[];
}

const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');
const folder = mkdtempSync(join(tmpdir(), 'espalier-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

for (const name of ['lora', 'dora', 'ia3', 'ln', 'prompt'].map((method) => `classifier-${method}`)) {
  describe(name, () => {
    const golden = readGolden<ClassifierGolden>('peft', name, 'golden.json');
    const final = readArtefact(join(GOLDEN, 'peft', name, 'final'), base);

    test('losses, gradients and the final adapter are PEFT’s', () => {
      assertTrainedAlike(replay(name, golden), golden, final);
    });

    test('packed beside others, an example has the loss that it has alone', () => {
      const packing = replay(name, golden, (examples) => examples.map((example) => packExamples([example])));
      assertLosses(packing, golden);
    });

    test('served in a batch with another adapter and the base, the labels have PEFT’s logits; alone the same bits', () => {
      const adapter = compileAdapter(final, base);
      const prompts = golden.sequences.map(({ tokenIds }) => Int32Array.from(tokenIds));
      const together = servedClasses(base, prompts, adapter, otherAdapter());
      for (const [index, { logits }] of golden.sequences.entries()) {
        assertClose(together[index], floatsOf(logits), 'goldenF32', `sequence ${index}`);
      }
      assert.deepEqual(together, servedClasses(base, prompts, adapter));
      assert.ok((probeRows(base, adapter)?.error ?? 1) < 1e-4);
    });

    test('the folder that is written is PEFT’s, with the labels in the metadata', () => {
      assert.deepEqual(
        final.classes?.labels,
        final.classes?.labels.map((_, number) => `LABEL_${number}`),
      );
      const labels = ['ham', 'spam', 'neither', 'both'].slice(0, final.classes?.labels.length);
      const path = join(folder, name);
      const named = { ...final, classes: { labels, reads: 'messages' as const } };
      const { digest } = writeArtefact(path, named, base.digest);
      const again = readArtefact(path, base);
      assert.deepEqual([again.classes, artefactDigest(again, base.digest)], [named.classes, digest]);
      assert.notEqual(digest, artefactDigest(final, base.digest), 'other labels are another adapter');
      const config = (at: string) =>
        JSON.parse(readFileSync(join(at, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
      const [ours, peft] = [config(path), config(join(GOLDEN, 'peft', name, 'final'))];
      assert.deepEqual([ours['task_type'], ours['modules_to_save']], ['SEQ_CLS', CLASSIFIER_MODULES]);
      assert.deepEqual(Object.keys(ours), Object.keys(peft));
      using weights = openSafetensors(join(path, 'adapter_model.safetensors'));
      assert.ok(weights.tensors.has(scoreName(final.config)));
      assert.deepEqual(JSON.parse(weights.metadata['id2label'] ?? ''), Object.fromEntries(labels.entries()));
    });
  });
}

test('a classifier has no next token, and no other adapter has labels', () => {
  const adapter = compileAdapter(readArtefact(join(GOLDEN, 'peft', 'classifier-lora', 'final'), base), base);
  const engine = new Engine(base);
  const request = { id: 'x', promptTokenIds: Int32Array.of(1, 2), adapter: 'x', stopTokenIds: [], sampling: GREEDY };
  const refused = { code: 'REQUEST_INVALID', param: 'model' };
  assert.throws(() => engine.submit({ ...request, maxTokens: 4 }, adapter), { ...refused, message: /\/v1\/classify/ });
  assert.throws(() => engine.submit({ ...request, maxTokens: null }, adapter), refused);
  assert.throws(() => engine.submit({ ...request, maxTokens: 0, classify: true }, otherAdapter()), {
    ...refused,
    message: /no classifier/,
  });
  assert.throws(() => engine.submit({ ...request, maxTokens: 0, classify: true }), refused);
  assert.equal(engine.hasWork, false);
});

function otherAdapter() {
  return compileAdapter(randomAdapter(base.sites, { seed: 5, rank: 3, targets: ['q_proj', 'up_proj'] }), base);
}

function replay(
  name: string,
  golden: ClassifierGolden,
  microBatches?: Replay['microBatches'],
): ReturnType<typeof replayTraining> {
  const { learningRates, settings } = golden;
  const batches = golden.batches.map((batch) =>
    batch.map(({ tokenIds, label }): TokenExample => {
      return { tokenIds: Int32Array.from(tokenIds), lossWeights: new Float32Array(tokenIds.length), label };
    }),
  );
  const initial = readArtefact(join(GOLDEN, 'peft', name, 'initial'), base);
  return replayTraining(base, initial, {
    batches,
    learningRates,
    settings,
    objective: { name: 'classification', labels: initial.classes?.labels ?? [] },
    keepsGradients: (step) => String(step) in golden.gradients,
    ...(microBatches && { microBatches }),
  });
}
