/**
 * Does Hugging Face PEFT read the classifiers that Espalier trains? `npm run peers:classifier` trains a head beside a LoRA and a DoRA for
 * a few steps on the golden's base, writes the folder, lets PEFT open it on `AutoModelForSequenceClassification`, and compares labels and
 * logits. The other way round is test/conformance/classifier.test.ts, whose folders PEFT wrote. Exit code 1 when they differ.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileAdapter, readArtefact } from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import { CLASSIFICATION, CLASSIFIER_MODULES, defaultLoraConfig, type LoraConfig } from '../../src/formats/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY } from '../../src/serving/index.ts';
import { DEFAULT_OPTIMIZER, TrainingRun, type TokenExample } from '../../src/training/index.ts';
import { writeAdapter } from '../../src/training/write-adapter.ts';
import { GOLDEN } from '../conformance/goldens.ts';
import { peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

const LABELS = ['ham', 'spam', 'quite “other”'];
/** Two forward passes in float32 that round in different orders. */
const TOLERANCE = 1e-4;
const BASE = join(GOLDEN, 'models', 'tiny-llama');

interface PeerLogits {
  readonly labels: readonly string[];
  readonly logits: readonly (readonly number[])[];
  readonly versions: Readonly<Record<string, string>>;
}

const python = peerPython();
const base = loadBase(BASE, 'tiny-llama', loadNativeKernels({ threads: 1 }), 'f32');
const rng = Rng.fromSeed(7, 'classifier');
const examples = Array.from({ length: 24 }, (_, n): TokenExample => {
  const length = 3 + rng.nextBelow(20);
  const tokenIds = Int32Array.from({ length }, () => rng.nextBelow(base.config.vocabSize));
  return { tokenIds, lossWeights: new Float32Array(length), label: n % LABELS.length };
});
const scratch = mkdtempSync(join(tmpdir(), 'espalier-peers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const sequences = join(scratch, 'sequences.json');
writeFileSync(sequences, JSON.stringify(examples.map(({ tokenIds }) => [...tokenIds])));
const verdicts = new Verdicts();
for (const useDora of [false, true]) await compare(useDora);
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;

async function compare(useDora: boolean): Promise<void> {
  const name = useDora ? 'dora' : 'lora';
  const folder = join(scratch, name);
  train(folder, useDora);
  const peer = await peerJson<PeerLogits>(python, 'test/peers/classifier_logits.py', [BASE, folder, sequences]);
  const ours = classify(folder);
  const { error } = compareToReference(ours.flat(), peer.logits.flat(), TOLERANCE);
  verdicts.add(`${name}: logits of ${ours.length} sequences, PEFT ${peer.versions['peft']}`, error, TOLERANCE);
  const numOthers = LABELS.filter((label, index) => peer.labels[index] !== label).length;
  verdicts.add(`${name}: labels that PEFT's side calls otherwise`, numOthers, 0);
}

function train(folder: string, useDora: boolean): void {
  const adapter: LoraConfig = {
    ...defaultLoraConfig(),
    task_type: CLASSIFICATION,
    modules_to_save: [...CLASSIFIER_MODULES],
    target_modules: ['q_proj', 'v_proj', 'down_proj'],
    use_dora: useDora,
  };
  const run = new TrainingRun(
    base,
    { train: examples, valid: [] },
    {
      adapter,
      objective: { name: 'classification', labels: LABELS },
      maxSteps: 12,
      epochs: 1,
      batchTokens: 120,
      microBatchTokens: 60,
      learningRate: 5e-3,
      schedule: 'constant',
      warmup: 0,
      seed: 3,
      optimizer: DEFAULT_OPTIMIZER,
      evaluateEverySteps: 100,
    },
  );
  while (!run.isDone) run.step();
  writeAdapter(folder, { baseModelName: 'tiny-llama', base: { path: BASE } }, base, run, run.finalValues());
}

/** As serving computes them. */
function classify(folder: string): number[][] {
  const adapter = compileAdapter(readArtefact(folder, base), base);
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxStepTokens: 64 });
  for (const [id, { tokenIds }] of examples.entries()) {
    const request = { id: String(id), promptTokenIds: tokenIds, adapter: folder, stopTokenIds: [] };
    engine.submit({ ...request, sampling: GREEDY, maxTokens: 0, classify: true }, adapter);
  }
  const found: number[][] = [];
  while (engine.hasWork) {
    const { events, failures } = engine.step();
    for (const { error } of failures) throw error;
    for (const { id, classes } of events) found[Number(id)] = [...(classes?.logits_C ?? [])];
  }
  return found;
}
