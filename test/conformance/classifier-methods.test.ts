/** A classification head beside every method that can have one: trained, cut off and resumed, written, read, and served in a mixed batch. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileAdapter, readArtefact } from '../../src/adapters/index.ts';
import { probeClasses } from '../../src/app/adapters/class-probe.ts';
import { loadBase } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { loadCheckpoint, saveCheckpoint } from '../../src/training/checkpoint.ts';
import type { TrainingRun } from '../../src/training/index.ts';
import { writeAdapter } from '../../src/training/write-adapter.ts';
import {
  classifierRun,
  labelledExamples,
  METHODS_WITH_HEAD,
  METHODS_WITHOUT_HEAD,
} from '../support/classifier-runs.ts';
import { servedClasses } from '../support/served-classes.ts';
import { randomAdapter } from '../support/tiny-adapters.ts';
import { GOLDEN } from './goldens.ts';

const LABELS = ['ham', 'spam', 'neither'];
/** Two forward passes in float32 that round in different orders. */
const TOLERANCE = 1e-5;

const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels({ threads: 1 }), 'f32');
const folder = mkdtempSync(join(tmpdir(), 'espalier-heads-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const train = labelledExamples(base.config.vocabSize, LABELS.length);

function write(run: TrainingRun, name: string): string {
  const path = join(folder, name);
  writeAdapter(path, { baseModelName: 'tiny', base: { path } }, base, run, run.finalValues());
  return path;
}

test('what has no head says so', () => {
  for (const method of METHODS_WITHOUT_HEAD) {
    assert.throws(() => classifierRun(base, method, LABELS, train), { code: 'USAGE_INVALID', param: '--method' });
  }
});

for (const method of METHODS_WITH_HEAD) {
  test(`a head beside ${method}`, () => {
    const run = classifierRun(base, method, LABELS, train);
    const first = run.evaluate(train).loss;
    const checkpoint = join(folder, `${method}.safetensors`);
    const identity = { base: 'b', train: 't', valid: null, config: run.config };
    while (!run.isDone) {
      run.step();
      if (run.state.step === 5) saveCheckpoint(checkpoint, run, identity);
    }
    assert.ok(run.evaluate(train).loss < 0.9 * first, 'the labels are learned');
    const path = write(run, method);

    const resumed = classifierRun(base, method, LABELS, train);
    loadCheckpoint(checkpoint, resumed, identity);
    while (!resumed.isDone) resumed.step();
    const again = write(resumed, `${method} again`);
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
      assert.deepEqual(readFileSync(join(path, file)), readFileSync(join(again, file)), file);
    }

    const read = readArtefact(path, base);
    assert.deepEqual(read.classes?.labels, LABELS);
    const adapter = compileAdapter(read, base);
    assert.ok(probeClasses(base, adapter, [...train[0].tokenIds]).error <= TOLERANCE);
    const prompts = train.map(({ tokenIds }) => tokenIds);
    const other = compileAdapter(randomAdapter(base.sites, { seed: 5, rank: 3, targets: ['q_proj', 'up_proj'] }), base);
    const served = servedClasses(base, prompts, adapter, other);
    assert.deepEqual(served, servedClasses(base, prompts, adapter), 'the bits that it has alone');
    // What a run finds in a packed batch, a request finds alone.
    const sum = served.reduce((total, logits, n) => total + crossEntropy(logits, n % LABELS.length), 0);
    const { passes, message } = compareToReference([sum / train.length], [run.evaluate(train).loss], TOLERANCE);
    assert.ok(passes, message);
  });
}

function crossEntropy(logits: Float32Array, label: number): number {
  const max = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0);
  return max + Math.log(sum) - logits[label];
}
