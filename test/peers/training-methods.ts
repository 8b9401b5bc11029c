/**
 * Does Espalier train every method as Hugging Face PEFT does? `npm run peers:training-methods` lets PEFT train an adapter of each method for 20
 * steps in float32, from values that are not those of a new adapter, and replays each run here: gradients of the first step within 1e-3
 * of their norm, every loss within 1e-4. Then PEFT opens what we have trained, and we what PEFT has: all of them are served in one
 * batch, and the logits must be PEFT's. Exit code 1 when a figure is outside its tolerance, and when a method that can be trained is in
 * no case.
 *
 * How a method joins: one entry of the form `TrainingCase` (training-case.ts) in {@link CASES}, or a file with a list of them, spread
 * into it. Nothing else knows a method: PEFT makes the adapter of the entry's config, every trainable number gets noise, and tensors are
 * matched by the names under which PEFT saves them.
 *
 *   node test/peers/training-methods.ts [--steps=20] [--only='NAME; NAME']
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  compileAdapter,
  methodOf,
  readArtefact,
  TRAINABLE_METHODS,
  trainableMethodOf,
  writeArtefact,
  type Adapter,
  type AdapterTensors,
  type CompiledAdapter,
} from '../../src/adapters/index.ts';
import { openSafetensors, type PeftConfig } from '../../src/formats/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from '../../src/serving/engine.ts';
import { GREEDY } from '../../src/serving/request.ts';
import { replayTraining } from '../support/replay-training.ts';
import { peerJson, peerPython } from './python.ts';
import type { TrainingCase } from './training-case.ts';
import { LORA_CASES } from './training-methods-lora.ts';
import { MATRIX_CASES } from './training-methods-matrices.ts';
import { PART_CASES } from './training-methods-parts.ts';
import { Verdicts } from './verdicts.ts';

const ATTENTION = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
const LINEAR = [...ATTENTION, 'gate_proj', 'up_proj', 'down_proj'];
const LORA = { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ATTENTION };

const CASES: readonly TrainingCase[] = [
  { name: 'lora', config: LORA },
  { name: 'lora, rsLoRA, all layers', config: { ...LORA, use_rslora: true, target_modules: LINEAR } },
  { name: 'lora, with a bias', config: { ...LORA, lora_bias: true }, base: 'tiny-qwen2' },
  { name: 'dora', config: { ...LORA, use_dora: true, target_modules: LINEAR } },
  {
    name: 'ia3',
    config: { peft_type: 'IA3', target_modules: ['k_proj', 'v_proj', 'down_proj'], feedforward_modules: ['down_proj'] },
  },
  { name: 'vera', config: { peft_type: 'VERA', r: 6, target_modules: ['q_proj', 'v_proj', 'down_proj'] } },
  { name: 'loha', config: { peft_type: 'LOHA', r: 2, alpha: 4, target_modules: ATTENTION } },
  { name: 'lokr', config: { peft_type: 'LOKR', r: 8, alpha: 8, target_modules: LINEAR } },
  { name: 'oft', config: { peft_type: 'OFT', oft_block_size: 8, target_modules: ATTENTION } },
  ...LORA_CASES,
  ...MATRIX_CASES,
  ...PART_CASES,
];

const TOLERANCES = { gradient: 1e-3, loss: 1e-4, logits: 1e-4 } as const;
const ROOT = join(import.meta.dirname, '..', '..');
const SCRIPT = 'test/peers/training_methods.py';

/** What the script says of a case that it has trained. */
interface PeerRun {
  readonly losses: readonly number[];
  readonly learningRates: readonly number[];
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
  readonly settings: Parameters<typeof replayTraining>[2]['settings'];
  readonly sequences: readonly (readonly number[])[];
}

interface PeerRuns {
  readonly versions: Readonly<Record<string, string>>;
  readonly runs: Readonly<Record<string, PeerRun>>;
}

/** An adapter to be served, and where PEFT's logits with it are. */
interface Served {
  readonly what: string;
  readonly compiled: CompiledAdapter;
  readonly sequences: readonly (readonly number[])[];
  readonly logitsFile: string;
}

const { values: options } = parseArgs({
  options: { steps: { type: 'string', default: '20' }, only: { type: 'string' } },
});
const only = options.only?.split(';').map((name) => name.trim());
const cases = CASES.filter(({ name }) => !only || only.includes(name));
const scratch = mkdtempSync(join(tmpdir(), 'espalier-peers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const python = peerPython();
const verdicts = new Verdicts();
const kernels = loadNativeKernels();
const bases = new Map<string, BaseModel>();
const served = new Map<string, Served[]>();

console.error(`PEFT trains ${cases.length} adapters …`);
const job = join(scratch, 'job.json');
const described = cases.map((one) => ({
  ...one,
  base: basePath(one),
  folder: folderOf(one),
  steps: Number(options.steps),
}));
writeFileSync(job, JSON.stringify(described));
const { versions, runs } = await peerJson<PeerRuns>(python, SCRIPT, ['train', job]);
console.log(`Espalier (${kernels.name}) and PEFT ${versions['peft']}, ${options.steps} steps each, float32`);
const covered = new Set<string>();
for (const one of cases) compareTraining(one, runs[one.name]);
console.error('PEFT opens what we have trained …');
await peerJson(python, SCRIPT, ['open', job]);
for (const [name, adapters] of served) compareServing(name, adapters);
for (const { name } of only ? [] : TRAINABLE_METHODS)
  if (!covered.has(name)) verdicts.add(`no case trains ${name}`, NaN, 0);
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;

function baseNameOf({ base = 'tiny-llama' }: TrainingCase): string {
  return base;
}

function basePath(one: TrainingCase): string {
  return join(ROOT, 'test', 'golden', 'models', baseNameOf(one));
}

function folderOf({ name }: TrainingCase): string {
  return join(scratch, name.replaceAll(/[^a-z0-9]+/gi, '-'));
}

function baseOf(one: TrainingCase): BaseModel {
  const name = baseNameOf(one);
  const base = bases.get(name) ?? loadBase(basePath(one), name, kernels, 'f32');
  bases.set(name, base);
  return base;
}

function tensorsIn(path: string): AdapterTensors {
  using file = openSafetensors(path);
  return new Map([...file.tensors].map(([name, { shape }]) => [name, { shape, data: file.readFloats(name) }]));
}

/** AdaLoRA's folder says in its config which ranks were cut off: a new adapter has all. */
function asItBegan(config: PeftConfig): PeftConfig {
  return config.peft_type === 'ADALORA' ? { ...config, rank_pattern: null } : config;
}

function compareTraining(one: TrainingCase, run: PeerRun): void {
  const [base, folder] = [baseOf(one), folderOf(one)];
  verdicts.heading(`${one.name} (${baseNameOf(one)})`);
  const theirs = readArtefact(join(folder, 'theirs'), base);
  const config = asItBegan(theirs.config);
  const method = trainableMethodOf(config);
  covered.add(methodOf(config).name);
  const start = tensorsIn(join(folder, 'start.safetensors'));
  // What is not trained belongs to the artefact: the matrices that VeRA's modules share.
  const initial: Adapter = {
    config,
    tensors: new Map(
      method.parameters(config, base.sites, base.config).map(({ name }) => {
        const value = start.get(name) ?? theirs.tensors.get(name);
        if (!value) throw new Error(`${one.name}: PEFT has no parameter ${name}, but ${[...start.keys()].join(', ')}`);
        return [name, value];
      }),
    ),
  };
  const batches = run.batches.map((batch) =>
    batch.map(({ tokenIds, lossWeights }) => ({
      tokenIds: Int32Array.from(tokenIds),
      lossWeights: Float32Array.from(lossWeights),
    })),
  );
  const { steps, trained } = replayTraining(base, initial, {
    ...run,
    batches,
    keepsGradients: (step) => step === 1,
  });
  const gradients = tensorsIn(join(folder, 'gradients-1.safetensors'));
  const names = [...gradients.keys()].sort();
  const joined = (of: (name: string) => ArrayLike<number>): Float64Array =>
    Float64Array.from(names.flatMap((name) => Array.from(of(name))));
  const ours = joined((name) => steps[0].gradients?.get(name) ?? []);
  const { error } = compareToReference(
    ours,
    joined((name) => gradients.get(name)?.data ?? []),
    TOLERANCES.gradient,
  );
  verdicts.add(`gradients of the first step, ${ours.length} numbers`, error, TOLERANCES.gradient);
  const losses = run.losses.map((loss, index) => Math.abs(steps[index].loss / loss - 1));
  verdicts.add(
    `losses, ${run.losses[0].toFixed(3)} to ${run.losses.at(-1)?.toFixed(3)}`,
    Math.max(...losses),
    TOLERANCES.loss,
  );

  const ownFolder = join(folder, 'ours');
  mkdirSync(ownFolder, { recursive: true });
  const tensors = method.fold?.(config, base, trained.tensors) ?? trained.tensors;
  writeArtefact(ownFolder, method.saved?.(config, tensors) ?? { config, tensors }, base.digest);
  const list = served.get(baseNameOf(one)) ?? [];
  served.set(baseNameOf(one), list);
  for (const side of ['theirs', 'ours'] as const) {
    list.push({
      what: `${one.name}: ${side === 'ours' ? 'our folder, opened by PEFT' : "PEFT's folder, opened here"}`,
      compiled: compileAdapter(readArtefact(join(folder, side), base), base),
      sequences: run.sequences,
      logitsFile: join(folder, `${side}.safetensors`),
    });
  }
}

/** All adapters of a base in one batch. */
function compareServing(name: string, adapters: readonly Served[]): void {
  const base = bases.get(name);
  if (!base) throw new Error(`${name} was trained on`);
  verdicts.heading(`${name}: logits after each sequence, all adapters in one batch`);
  const logits = new Map<string, Float32Array>();
  const engine = new Engine(base, DEFAULT_ENGINE, {
    choose({ request }, logits_V) {
      logits.set(request.id, Float32Array.from(logits_V));
      return { id: 0, logprob: undefined };
    },
  });
  for (const { what, compiled, sequences } of adapters) {
    for (const [index, ids] of sequences.entries()) {
      const request = {
        id: `${what} ${index}`,
        adapter: what,
        promptTokenIds: Int32Array.from(ids),
        maxTokens: 1,
        stopTokenIds: [],
        sampling: GREEDY,
      };
      engine.submit(request, compiled);
    }
  }
  while (engine.hasWork) engine.step();
  for (const { what, sequences, logitsFile } of adapters) {
    using expected = openSafetensors(logitsFile);
    const errors = sequences.map(
      (_, index) =>
        compareToReference(logits.get(`${what} ${index}`) ?? [], expected.readFloats(String(index)), TOLERANCES.logits)
          .error,
    );
    verdicts.add(what, Math.max(...errors), TOLERANCES.logits);
  }
}
