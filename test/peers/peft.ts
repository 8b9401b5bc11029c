/**
 * Does Espalier train what Hugging Face PEFT trains? `npm run peers:peft` gives both the same base (SmolLM2-135M, fetched by the
 * hub), the same initial adapter (PEFT's) and the same batches of short chats, and compares losses, gradients, the adapter at
 * the end, and the logits of each side's adapter opened by the other. Exit code 1 when a figure is outside its tolerance.
 *
 *   node test/peers/peft.ts [--steps=20] [--threads=N] [--softmax=f32] [--bf16] [--bf16-steps=20]
 *
 * `--softmax=f64` computes PEFT's loss in f64 from its f32 logits. torch's f32 log-softmax over 49152 logits is off by 5e-6, to one
 * side, which is ten times the rest of its rounding: a sharper look at ours, when a figure is near its bar.
 *
 * `--bf16` adds the same comparison in bf16. On a CPU without bf16 instructions torch's products are made from f32 ones there
 * (bf16_products.py says why); everything else is torch's own bf16.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compileAdapter, readArtefact, spanHooks, writeArtefact, type Adapter } from '../../src/adapters/index.ts';
import { readConfig, resolveBase } from '../../src/app/index.ts';
import { systemClock } from '../../src/base/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { compareToReference, expectZero } from '../../src/numeric/compare.ts';
import { canComputeIn, loadNativeKernels, type Floats } from '../../src/numeric/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { replayTraining, type ReplayedStep } from '../support/replay-training.ts';
import { readChats } from './chats.ts';
import { roundProducts } from './rounded-kernels.ts';
import { peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

const BASE = 'smollm2-135m-instruct';
/** Rank 8 on every linear layer of the model: the most that can be compared. */
const LORA = {
  r: 8,
  lora_alpha: 16,
  target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
};
const SETTINGS = {
  learning_rate: 2e-4,
  weight_decay: 0.01,
  betas: [0.9, 0.999],
  eps: 1e-8,
  max_grad_norm: 1,
} as const;
const GRADIENT_STEPS = [1, 5];
/** In f32. The loss of a step is compared as a number, everything else by ‖ours − theirs‖ / ‖theirs‖ of a tensor. */
const TOLERANCES = {
  loss: 1e-4,
  gradient: 1e-3,
  /** The same adapter on both sides: two forward passes that round in different orders. */
  logits: 1e-4,
  /** Adapters that were trained apart, by what they do. */
  trainedLogits: 1e-3,
  trainedA: 1e-3,
  /**
   * B starts at zero and AdamW divides by the gradient's own size, so that an element whose gradient is mostly rounding noise
   * takes a whole step to one side or the other. It has little effect, hence the bars on losses and logits beside this one.
   */
  trainedB: 5e-2,
} as const;

interface PeftJob {
  readonly steps: number;
  readonly dtype: 'f32' | 'bf16';
  readonly autocast?: boolean;
  readonly seed: number;
  readonly output: string;
}

interface PeftResult {
  readonly losses: readonly number[];
  readonly learningRates: readonly number[];
  readonly gradNorms: readonly number[];
  /** Of the trained adapter, over all batches: computed as it was trained, and in the dtype of the base. */
  readonly lossAfter: { readonly autocast?: number; readonly plain: number };
  readonly seconds: number;
  readonly versions: Readonly<Record<string, string>>;
}

const { values: options } = parseArgs({
  options: {
    steps: { type: 'string', default: '20' },
    threads: { type: 'string' },
    softmax: { type: 'string', default: 'f32' },
    bf16: { type: 'boolean', default: false },
    'bf16-steps': { type: 'string', default: '20' },
  },
});
const config = readConfig();
const threads = options.threads === undefined ? (config.threads ?? availableParallelism()) : count(options.threads);
const python = peerPython();
const found = await resolveBase(config, BASE, (event) => {
  if (event.type === 'trying') say(`base: trying ${event.source}`);
});
const [numSteps, numBf16Steps] = [count(options.steps), count(options['bf16-steps'])];
const { batches, sequences } = await readChats(found.open.path, Math.max(numSteps, numBf16Steps));
const kernels = loadNativeKernels({ threads });
const scratch = mkdtempSync(join(tmpdir(), 'espalier-peers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const verdicts = new Verdicts();
const f32 = await compareInF32();
if (options.bf16) await compareInBf16(numBf16Steps, f32);
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;

/** @returns PEFT's run */
async function compareInF32(): Promise<PeftResult> {
  const base = openBase('f32');
  const peft = await trainWithPeft({ steps: numSteps, dtype: 'f32', seed: 0, output: join(scratch, 'f32') });
  const { torch, peft: release, transformers } = peft.versions;
  console.log(
    `Espalier (${kernels.name}, ${threads} threads) and PEFT ${release} (torch ${torch}, transformers ${transformers})`,
  );
  const { steps, trained } = trainHere(base, join(scratch, 'f32', 'initial'), peft);
  verdicts.heading(`f32, ${numSteps} steps: loss of each step`);
  for (const [index, { loss, gradientNorm }] of steps.entries()) {
    const [expected, norm] = [peft.losses[index], peft.gradNorms[index]];
    verdicts.add(
      `step ${index + 1}: ${loss.toFixed(6)}, PEFT ${expected.toFixed(6)}`,
      relative(loss, expected),
      TOLERANCES.loss,
    );
    verdicts.add(`step ${index + 1}: norm of the gradient`, relative(gradientNorm, norm), TOLERANCES.gradient);
  }
  verdicts.heading('f32: gradient of each A and B, and the adapter at the end: the worst tensor');
  for (const step of GRADIENT_STEPS.filter((one) => one <= numSteps)) compareGradients(step, steps[step - 1]);
  const theirs = readArtefact(join(scratch, 'f32', 'adapter'), base);
  for (const [matrix, tolerance] of [
    ['lora_A', TOLERANCES.trainedA],
    ['lora_B', TOLERANCES.trainedB],
  ] as const) {
    compareTensors(`${matrix} at the end`, dataOf(trained, matrix), dataOf(theirs, matrix), tolerance);
  }
  verdicts.heading('f32: adapters opened by the other side, logits of all positions');
  const ours = join(scratch, 'ours');
  writeArtefact(ours, trained, found.digest);
  const peftLogits = join(scratch, 'f32', 'logits.safetensors');
  compareLogits('trained here, opened by PEFT', base, trained, await logitsFromPeft(ours), TOLERANCES.logits);
  compareLogits('trained by PEFT, opened here', base, theirs, peftLogits, TOLERANCES.logits);
  compareLogits('trained here, and by PEFT', base, trained, peftLogits, TOLERANCES.trainedLogits);
  return peft;
}

/**
 * With bf16 weights our products round to bf16 where the processor can, and all else stays f32. That is what people get who train with PEFT in bf16
 * (`bf16=True`, torch's autocast), but for one thing: torch rounds what it stores of a product as well, also the sum of a layer and its adapter. It sees less
 * of a young adapter than there is, and learns less in as many steps; its curve lies above its own f32 by ten times what two seeds differ by. So ours is judged
 * three times: with products rounded as torch's are by its distance to autocast; as it is by its distance to torch's f32; and by what was learned here and by
 * torch in bf16, the loss of both adapters in f32.
 */
async function compareInBf16(steps: number, f32: PeftResult): Promise<void> {
  const job = { steps, dtype: 'f32', autocast: true } as const;
  const mixed = await trainWithPeft({ ...job, seed: 0, output: join(scratch, 'mixed') });
  const otherSeed = await trainWithPeft({ ...job, seed: 1, output: join(scratch, 'mixed-other') });
  const pure = await trainWithPeft({ steps, dtype: 'bf16', seed: 0, output: join(scratch, 'bf16') });
  const trained = trainHere(openBase('bf16'), join(scratch, 'mixed', 'initial'), mixed);
  const ours = trained.steps.map(({ loss }) => loss);
  const rounding = openBase('bf16', roundProducts(kernels));
  const rounded = trainHere(rounding, join(scratch, 'mixed', 'initial'), mixed).steps.map(({ loss }) => loss);
  verdicts.heading(
    `bf16, ${steps} steps: losses of ours; ours, rounded as torch rounds; autocast, seed 0; autocast, seed 1; all in bf16; f32`,
  );
  for (const [index, loss] of ours.entries()) {
    const losses = [loss, rounded[index], ...[mixed, otherSeed, pure, f32].map((peft) => peft.losses[index] ?? NaN)];
    console.log(`  step ${index + 1}: ${losses.map((one) => one.toFixed(4)).join('  ')}`);
  }
  const common = Math.min(steps, numSteps);
  const noise = rootMeanSquare(mixed.losses, otherSeed.losses);
  verdicts.heading('bf16: root mean square between two curves; as far as the two seeds of autocast');
  verdicts.add(`ours to torch in f32, ${common} steps`, rootMeanSquare(ours, f32.losses), noise);
  verdicts.add(
    `ours, rounded as torch rounds, to torch's autocast, ${steps} steps`,
    rootMeanSquare(rounded, mixed.losses),
    noise,
  );
  const [toMixed, toPure] = [mixed, pure].map(({ losses }) => rootMeanSquare(ours, losses).toExponential(1));
  console.log(`  not judged: ours as it is to torch's autocast ${toMixed}, to torch all in bf16 ${toPure}`);
  const base = openBase('f32');
  const learned = [trained.trained, readArtefact(join(scratch, 'mixed', 'adapter'), base)].map((adapter) =>
    meanLoss(base, adapter),
  );
  verdicts.heading(
    'bf16: mean loss in f32, over all batches, of what was learned; as far as the two seeds of autocast',
  );
  verdicts.add(
    `ours ${learned[0].toFixed(4)}, above autocast's ${learned[1].toFixed(4)}`,
    Math.max(0, learned[0] - learned[1]),
    noise,
  );
  const { autocast, plain } = mixed.lossAfter;
  console.log(`  torch's own view of what it learned: ${autocast?.toFixed(4)} in autocast, ${plain.toFixed(4)} in f32`);
}

/** Of an adapter as it is: steps that change nothing. */
function meanLoss(base: BaseModel, adapter: Adapter): number {
  const learningRates = batches.map(() => 0);
  const settings = { ...SETTINGS, weight_decay: 0 };
  const { steps } = replayTraining(base, adapter, { batches, learningRates, settings, keepsGradients: () => false });
  return steps.reduce((sum, { loss }) => sum + loss, 0) / steps.length;
}

function openBase(format: 'f32' | 'bf16', of = kernels): BaseModel {
  const computeDtype = format === 'bf16' && canComputeIn('bf16') ? 'bf16' : 'f32';
  return loadBase(found.open.path, found.name, of, format, computeDtype);
}

function trainWithPeft({ output, ...job }: PeftJob): Promise<PeftResult> {
  mkdirSync(output, { recursive: true });
  const jobPath = join(output, 'job.json');
  const { steps, ...rest } = job;
  const document = {
    ...rest,
    base: found.open.path,
    lora: LORA,
    batches: batches.map((batch) =>
      batch.map(({ tokenIds, lossWeights }) => ({ tokenIds: [...tokenIds], lossWeights: [...lossWeights] })),
    ),
    settings: { ...SETTINGS, steps, softmax: options.softmax },
    threads,
    recordGradientsAt: GRADIENT_STEPS,
    logitsOf: sequences,
    output,
  };
  writeFileSync(jobPath, JSON.stringify(document));
  return timed(`PEFT trains ${steps} steps in ${job.autocast ? 'autocast to bf16' : job.dtype}, seed ${job.seed}`, () =>
    peerJson<PeftResult>(python, 'test/peers/peft_training.py', [jobPath]),
  );
}

function trainHere(base: BaseModel, initial: string, { learningRates }: PeftResult) {
  const keepsGradients = (step: number): boolean => base.format === 'f32' && GRADIENT_STEPS.includes(step);
  const startedMs = systemClock.nowMs();
  const settings = SETTINGS;
  const replayed = replayTraining(base, readArtefact(initial, base), {
    batches,
    learningRates,
    settings,
    keepsGradients,
  });
  say(
    `Espalier trains ${learningRates.length} steps in ${base.format}, products in ${base.computeDtype}: ${secondsSince(startedMs)}`,
  );
  return replayed;
}

async function logitsFromPeft(adapter: string): Promise<string> {
  const [sequencesPath, logitsPath] = [join(scratch, 'sequences.json'), join(scratch, 'logits.safetensors')];
  writeFileSync(sequencesPath, JSON.stringify(sequences));
  const args = [found.open.path, adapter, sequencesPath, '--logits', logitsPath, '--threads', String(threads)];
  await timed('PEFT opens our adapter', () => peerJson(python, 'test/peers/peft_logits.py', args));
  return logitsPath;
}

function compareGradients(step: number, { gradients }: ReplayedStep): void {
  using file = openSafetensors(join(scratch, 'f32', `gradients-${step}.safetensors`));
  for (const matrix of ['lora_A', 'lora_B']) {
    const names = [...file.tensors.keys()].filter((name) => name.includes(`.${matrix}.`));
    const theirs = new Map(names.map((name) => [name, file.readFloats(name)]));
    const ours = new Map(names.map((name) => [name, gradients?.get(name) ?? new Float32Array()]));
    // While B is 0, A gets exactly no gradient: zeros have no norm to compare by.
    if (step > 1 || matrix === 'lora_B') {
      compareTensors(`gradient of ${matrix}, step ${step}`, ours, theirs, TOLERANCES.gradient);
      continue;
    }
    for (const [name, values] of [...ours, ...theirs]) expectZero(values, `gradient of ${name} in step 1`);
    verdicts.add(`gradient of ${matrix}, step ${step}: ${names.length} tensors, all of exact zeros`, 0, 0);
  }
}

function compareTensors(
  what: string,
  ours: ReadonlyMap<string, Floats>,
  theirs: ReadonlyMap<string, Floats>,
  tolerance: number,
): void {
  let [worst, worstName] = [-1, 'there is no tensor'];
  for (const [name, expected] of theirs) {
    const { error } = compareToReference(ours.get(name) ?? [], expected, tolerance);
    // A NaN is the worst there is, and stays it.
    if (!(error <= worst) && !Number.isNaN(worst)) [worst, worstName] = [error, name];
  }
  const error = ours.size === theirs.size && theirs.size > 0 ? worst : NaN;
  verdicts.add(`${what}: worst of ${theirs.size}, ${shortName(worstName)}`, error, tolerance);
}

function compareLogits(what: string, base: BaseModel, adapter: Adapter, expectedPath: string, tolerance: number): void {
  using file = openSafetensors(expectedPath);
  const rows = sequences.reduce((sum, ids) => sum + ids.length, 0);
  const compiled = compileAdapter(adapter, base);
  const logits = forwardLogits(base, sequences, spanHooks([{ begin: 0, end: rows, adapter: compiled }]));
  const plain = forwardLogits(base, sequences);
  for (const [index, values] of logits.entries()) {
    const expected = file.readFloats(String(index));
    const { error } = compareToReference(values, expected, tolerance);
    // Without the adapter the logits must be off by more than the tolerance, or the comparison would prove nothing.
    const { error: distance } = compareToReference(plain[index], expected, tolerance);
    const isTelling = distance > tolerance;
    const label = `${what}: ${sequences[index].length} tokens (the base alone is off by ${distance.toExponential(1)})`;
    verdicts.add(label, isTelling ? error : NaN, tolerance);
  }
}

function dataOf({ tensors }: Adapter, matrix: string): ReadonlyMap<string, Floats> {
  const chosen = [...tensors].filter(([name]) => name.includes(`.${matrix}.`));
  return new Map(chosen.map(([name, { data }]) => [name, data]));
}

function shortName(name: string): string {
  return name.replace('base_model.model.model.layers.', 'layer ').replace('.weight', '');
}

function relative(value: number, expected: number): number {
  return Math.abs(value - expected) / Math.abs(expected);
}

/** Over the steps that both curves have. */
function rootMeanSquare(a: readonly number[], b: readonly number[]): number {
  const common = a.slice(0, b.length);
  return Math.sqrt(common.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / common.length);
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`expected a whole number from 1, got ${text}`);
  return value;
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  say(`${what} …`);
  const startedMs = systemClock.nowMs();
  const result = await work();
  say(`${what}: ${secondsSince(startedMs)}`);
  return result;
}

function secondsSince(startedMs: number): string {
  return `${((systemClock.nowMs() - startedMs) / 1000).toFixed(1)} s`;
}

function say(text: string): void {
  console.error(text);
}
