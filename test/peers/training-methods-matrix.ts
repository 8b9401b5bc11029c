/**
 * Does Hugging Face PEFT open what Espalier trains? `npm run peers:matrix` makes an adapter of each trainable method with the settings of the
 * command line, gives it random numbers, writes its PEFT folder, and lets PEFT open it on the same base: the logits must be ours.
 * Exit code 1 when they are not, or PEFT cannot open a folder.
 *
 *   node test/peers/training-methods-matrix.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asPlainLora,
  compileAdapter,
  pissaFactors,
  readArtefact,
  spanHooks,
  trainableMethodOf,
  writeArtefact,
  type Adapter,
  type LoraPair,
} from '../../src/adapters/index.ts';
import { methodConfig, TRAINING_METHODS, type MethodOptions } from '../../src/app/runs/train-methods.ts';
import { Rng } from '../../src/base/index.ts';
import { tensorName } from '../../src/formats/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels, sizeOf, type Tensor } from '../../src/numeric/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

const BASE = join(import.meta.dirname, '..', 'golden', 'models', 'tiny-qwen2');
const TOLERANCE = 1e-4;
const SEQUENCES = [
  [5, 17, 80, 3],
  [1, 2, 3, 100, 99, 44, 7, 20, 61],
];
/** Sizes that fit the tiny base, whose sides are 16, 48 and 64. */
const SIZES: Readonly<Record<string, MethodOptions>> = {
  vera: { rank: 8 },
  oft: { blockSize: 8 },
  miss: { rank: 8 },
  'miss mini': { rank: 8, form: 'mini', miniRank: 4 },
  'miss bat': { rank: 8, form: 'bat' },
  fourierft: { frequencies: 60 },
  randlora: { rank: 4, alpha: 8 },
  vblora: { vectorLength: 16, numVectors: 12 },
  adalora: { initialRank: 4, rank: 2 },
};

const kernels = loadNativeKernels({ threads: 1 });
const base = loadBase(BASE, 'tiny-qwen2', kernels, 'f32');
const scratch = mkdtempSync(join(tmpdir(), 'espalier-matrix-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

function randomised(name: string): Adapter {
  const method = TRAINING_METHODS.find((known) => known === name.split(' ')[0]);
  if (method === undefined) throw new Error(`no method is called ${name}`);
  const config = methodConfig(method, { targets: 'all-linear', ...SIZES[name] });
  const trained = trainableMethodOf(config);
  const rng = Rng.fromSeed(1, name);
  const tensors = new Map<string, Tensor>();
  for (const parameter of trained.parameters(config, base.sites)) {
    const data = new Float32Array(sizeOf(parameter.shape));
    trained.initialise(config, parameter, data, rng, base);
    if (!parameter.isFrozen)
      for (let i = 0; i < data.length; i++) data[i] = data[i] * (1 + 0.1 * rng.nextNormal()) + 0.05 * rng.nextNormal();
    // Singular values that a budget has cut off.
    if (parameter.name.endsWith('lora_E')) data[1] = 0;
    tensors.set(parameter.name, { shape: parameter.shape, data });
  }
  return trained.saved?.(config, tensors) ?? { config, tensors };
}

/** A LoRA that began as PiSSA and has moved on. */
function convertedPissa(): Adapter {
  const { config, tensors } = randomised('lora');
  if (config.peft_type !== 'LORA') throw new Error('LoRA has the config of LoRA');
  const start = new Map<string, LoraPair>();
  for (const site of base.sites) {
    const { path, in: inputs, out } = site;
    const weight = kernels.thaw(base.layers[site.layer].linear[site.role].weight);
    const pair = pissaFactors(
      { kernels, path, in: inputs, out, rank: config.r, scale: config.lora_alpha / config.r },
      weight,
    );
    start.set(path, pair);
    for (const [suffix, first] of [
      ['lora_A.weight', pair.a_RI],
      ['lora_B.weight', pair.b_OR],
    ] as const) {
      const moved = tensors.get(tensorName(path, suffix))?.data;
      moved?.forEach((value, i) => (moved[i] = first.data[i] + 0.2 * value));
    }
  }
  return asPlainLora(config, tensors, start);
}

const names = [...TRAINING_METHODS.filter((name) => name !== 'qlora'), 'miss mini', 'miss bat', 'lora pissa'];
writeFileSync(join(scratch, 'sequences.json'), JSON.stringify(SEQUENCES));
const folders = names.map((name) => {
  const folder = name.replace(' ', '-');
  writeArtefact(join(scratch, folder), name === 'lora pissa' ? convertedPissa() : randomised(name), base.digest);
  return folder;
});
const peft = await peerJson<Record<string, number[][]>>(peerPython(), 'test/peers/peft_opens.py', [
  BASE,
  scratch,
  ...folders,
]);
const verdicts = new Verdicts();
const plain = forwardLogits(base, SEQUENCES);
for (const folder of folders) {
  const adapter = readArtefact(join(scratch, folder), base);
  const served = { begin: 0, end: SEQUENCES.flat().length, adapter: compileAdapter(adapter, base) };
  const logits = forwardLogits(base, SEQUENCES, spanHooks([served]));
  const errors = logits.map((own, i) => compareToReference(own, peft[folder][i], TOLERANCE).error);
  const change = compareToReference(logits[0], plain[0], Infinity).error;
  verdicts.add(`${folder}, which changes ${(100 * change).toFixed(0)} %`, Math.max(...errors), TOLERANCE);
  if (!(change > 10 * TOLERANCE)) verdicts.add(`${folder} changes something`, NaN, TOLERANCE);
}
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;
