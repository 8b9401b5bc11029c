/**
 * Are the model folders that Espalier writes Hugging Face's? `npm run peers:folders` merges a trained adapter into the real base, onto its own weights and
 * onto its NF4 ones, and trains a tiny base in full; Transformers opens each folder, and its logits must be ours. Exit code 1 when a figure is
 * outside its tolerance.
 *
 *   node test/peers/model-folders.ts [--base=NAME]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compileAdapter, readArtefact, spanHooks } from '../../src/adapters/index.ts';
import { mergeIntoBase, readConfig, resolveBase, trainAdapter, TRAIN_DEFAULTS } from '../../src/app/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { baseHooks, loadBase, type SiteHooks } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels, type WeightFormat } from '../../src/numeric/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';
import { peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

/** ‖ours − Transformers'‖ / ‖Transformers'‖, both in float32. */
const TOLERANCE = 1e-4;

const { values: options } = parseArgs({ options: { base: { type: 'string', default: 'smollm2-135m-instruct' } } });
const config = readConfig();
const scratch = mkdtempSync(join(tmpdir(), 'espalier-peers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const sequences = [[1, 9, 200, 77, 512, 40], [3]];
writeFileSync(join(scratch, 'sequences.json'), JSON.stringify(sequences));
const verdicts = new Verdicts();
const kernels = loadNativeKernels();
const data = join(scratch, 'data.jsonl');
writeChats(data, { count: 8, words: 6, seed: 4 });

/** Our logits of a base under hooks, against what Transformers computes of a folder. */
async function compare(what: string, folder: string, ours: { path: string; format: WeightFormat; adapter?: string }) {
  const base = loadBase(ours.path, 'base', kernels, ours.format);
  const file = join(scratch, 'logits.safetensors');
  const script = 'test/peers/peft_logits.py';
  await peerJson(peerPython(), script, [folder, '-', join(scratch, 'sequences.json'), '--logits', file]);
  using logits = openSafetensors(file);
  for (const [index, tokenIds] of sequences.entries()) {
    const actual = forwardLogits(base, [tokenIds], hooksOf(ours.adapter, base, tokenIds.length))[0];
    const { error } = compareToReference(actual, logits.readFloats(String(index)), TOLERANCE);
    verdicts.add(`${what}, ${tokenIds.length} tokens`, error, TOLERANCE);
  }
}

function hooksOf(adapter: string | undefined, base: ReturnType<typeof loadBase>, end: number): SiteHooks {
  if (adapter === undefined) return baseHooks;
  return spanHooks([{ begin: 0, end, adapter: compileAdapter(readArtefact(adapter, base), base) }]);
}

const found = await resolveBase(config, options.base);
const adapter = join(scratch, 'adapter');
const trained = { ...TRAIN_DEFAULTS, data, validShare: 0, samples: 0, maxSteps: 3 };
await trainAdapter(config, { ...trained, base: options.base, output: adapter, learningRate: 2e-3 });
for (const format of ['f32', 'nf4'] as const) {
  const output = join(scratch, `merged-${format}`);
  await mergeIntoBase(config, { reference: adapter, base: options.base, format, dtype: 'f32', output });
  await compare(`merged onto ${format}`, output, { path: found.open.path, format, adapter });
}
writeTinyBase(join(scratch, 'tiny'));
const full = join(scratch, 'full');
await trainAdapter(config, {
  ...trained,
  method: 'full',
  base: join(scratch, 'tiny'),
  output: full,
  learningRate: 1e-3,
});
await compare('trained in full', full, { path: full, format: 'f32' });
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;
