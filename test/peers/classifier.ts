/**
 * Does Hugging Face PEFT read the classifiers that Espalier trains? `npm run peers:classifier` trains a head beside every
 * method that can have one for a few steps on the golden's base, writes the folder, lets PEFT open it on `AutoModelForSequenceClassification`, and compares labels and
 * logits. The other way round is test/conformance/classifier.test.ts, whose folders PEFT wrote. Exit code 1 when they differ.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileAdapter, readArtefact } from '../../src/adapters/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { writeAdapter } from '../../src/training/write-adapter.ts';
import { GOLDEN } from '../conformance/goldens.ts';
import { classifierRun, labelledExamples, METHODS_WITH_HEAD, type TrainMethod } from '../support/classifier-runs.ts';
import { servedClasses } from '../support/served-classes.ts';
import { peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

const LABELS = ['ham', 'spam', 'quite “other”'];
/** Two forward passes in float32 that round in different orders. */
const TOLERANCE = 1e-5;
const BASE = join(GOLDEN, 'models', 'tiny-llama');

interface PeerLogits {
  readonly labels: readonly string[];
  readonly logits: readonly (readonly number[])[];
  readonly versions: Readonly<Record<string, string>>;
}

const python = peerPython();
const base = loadBase(BASE, 'tiny-llama', loadNativeKernels({ threads: 1 }), 'f32');
const examples = labelledExamples(base.config.vocabSize, LABELS.length);
const scratch = mkdtempSync(join(tmpdir(), 'espalier-peers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const sequences = join(scratch, 'sequences.json');
writeFileSync(sequences, JSON.stringify(examples.map(({ tokenIds }) => [...tokenIds])));
const verdicts = new Verdicts();
for (const method of METHODS_WITH_HEAD) await compare(method);
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;

async function compare(name: TrainMethod): Promise<void> {
  const folder = join(scratch, name);
  const run = classifierRun(base, name, LABELS, examples);
  while (!run.isDone) run.step();
  writeAdapter(folder, { baseModelName: 'tiny-llama', base: { path: BASE } }, base, run, run.finalValues());
  const peer = await peerJson<PeerLogits>(python, 'test/peers/classifier_logits.py', [BASE, folder, sequences]);
  const adapter = compileAdapter(readArtefact(folder, base), base);
  const ours = servedClasses(
    base,
    examples.map(({ tokenIds }) => tokenIds),
    adapter,
  );
  const { error } = compareToReference(
    ours.flatMap((logits) => [...logits]),
    peer.logits.flat(),
    TOLERANCE,
  );
  verdicts.add(`${name}: logits of ${ours.length} sequences, PEFT ${peer.versions['peft']}`, error, TOLERANCE);
  const numOthers = LABELS.filter((label, index) => peer.labels[index] !== label).length;
  verdicts.add(`${name}: labels that PEFT's side calls otherwise`, numOthers, 0);
}
