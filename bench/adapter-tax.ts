/**
 * What do adapters cost a batch? Steps of decoding 64 sequences on one base: without adapters, all on one adapter, each on its own, and on 5 to
 * 2,000 adapters whose popularity follows Zipf's law. Rank-8 LoRA on q, k, v and o, random numbers. The cases take turns step by
 * step in one process, each round beginning with the next, so that a clock that slows down and whatever follows a case meet all of them; a figure is the
 * median over the steps of a case. The base runs twice: what the second one's tax is, is noise.
 *
 *   node bench/adapter-tax.ts [--base=NAME] [--format=bf16] [--codes=bf16|f32] [--steps=40] [--sequences=64] [--context=96]
 *                             [--rank=8] [--adapters=5,64,500,2000] [--threads=N] [--json]
 */
import { parseArgs } from 'node:util';
import {
  BASE_ADAPTER,
  compileAdapter,
  packAdapter,
  trainableMethodOf,
  type CompiledAdapter,
} from '../src/adapters/index.ts';
import { readConfig, resolveBase } from '../src/app/index.ts';
import { Rng, systemClock } from '../src/base/index.ts';
import { defaultLoraConfig } from '../src/formats/index.ts';
import { openBase, type BaseModel } from '../src/model/index.ts';
import { loadNativeKernels, WEIGHT_FORMATS } from '../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY } from '../src/serving/index.ts';

const { values } = parseArgs({
  options: {
    base: { type: 'string', default: 'smollm2-135m-instruct' },
    format: { type: 'string', default: 'bf16' },
    codes: { type: 'string', default: 'bf16' },
    steps: { type: 'string', default: '40' },
    sequences: { type: 'string', default: '64' },
    context: { type: 'string', default: '96' },
    rank: { type: 'string', default: '8' },
    adapters: { type: 'string', default: '5,64,500,2000' },
    threads: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const [steps, sequences, context, rank] = [values.steps, values.sequences, values.context, values.rank].map(Number);
const format = WEIGHT_FORMATS.find((name) => name === values.format);
if (!format) throw new Error(`--format is one of ${WEIGHT_FORMATS.join(', ')}`);
const codes = values.codes === 'f32' ? 'f32' : 'bf16';
const counts = values.adapters.split(',').map(Number);

const kernels = loadNativeKernels(values.threads === undefined ? {} : { threads: Number(values.threads) });
const { open } = await resolveBase(readConfig(), values.base, undefined, format);
const base = openBase(open, kernels);

const LORA = {
  ...defaultLoraConfig(),
  r: rank,
  lora_alpha: 2 * rank,
  target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
};
/** One stretch of random numbers: an adapter's tensors begin at a place of their own. */
const noise = noiseOf(2 ** 21);

function noiseOf(length: number): Float32Array {
  const rng = Rng.fromSeed(1, 'noise');
  return Float32Array.from({ length }, () => 0.02 * rng.nextNormal());
}

function adapterOf(on: BaseModel, seed: number): CompiledAdapter {
  const rng = Rng.fromSeed(seed, 'adapter');
  const tensors = new Map(
    trainableMethodOf(LORA)
      .parameters(LORA, on.sites, on.config)
      .map(({ name, shape }) => {
        const length = shape.reduce((product, size) => product * size, 1);
        const start = rng.nextBelow(noise.length - length);
        return [name, { shape, data: noise.slice(start, start + length) }];
      }),
  );
  return packAdapter(compileAdapter({ config: LORA, tensors }, on), { sites: on.sites, computeDtype: codes });
}

const made: CompiledAdapter[] = [];
function adapterNumber(index: number): CompiledAdapter {
  while (made.length <= index) made.push(adapterOf(base, made.length));
  return made[index];
}

/** `count` draws from 0..limit by Zipf's law: the n-th most popular is drawn 1/n as often as the first. */
function zipf(limit: number, count: number, rng: Rng): number[] {
  const ends: number[] = [];
  for (let n = 1; n <= limit; n++) ends.push((ends.at(-1) ?? 0) + 1 / n);
  return Array.from({ length: count }, () => {
    const drawn = rng.nextFloat() * (ends.at(-1) ?? 0);
    return ends.findIndex((end) => drawn < end);
  });
}

interface Case {
  readonly name: string;
  readonly adapters: readonly CompiledAdapter[];
  readonly engine: Engine;
  readonly stepMs: number[];
}

function makeCase(name: string, adapters: readonly CompiledAdapter[]): Case {
  // The context is `context` in the middle of the measured steps.
  const [prompt, maxTokens] = [Math.max(1, context - (steps >> 1)), steps + 8];
  const cacheTokens = sequences * Math.ceil((prompt + maxTokens) / 16) * 16;
  const engine = new Engine(base, {
    ...DEFAULT_ENGINE,
    maxSequences: sequences,
    maxStepTokens: 2048,
    cacheTokens,
    maxDraftTokens: 0,
  });
  const rng = Rng.fromSeed(0, 'prompts');
  for (const [index, adapter] of adapters.entries()) {
    const promptTokenIds = Int32Array.from({ length: prompt }, () => rng.nextBelow(base.config.vocabSize));
    const request = { id: `${index}`, promptTokenIds, adapter: null, maxTokens, stopTokenIds: [] };
    engine.submit({ ...request, sampling: GREEDY }, adapter);
  }
  // Prompts are not measured.
  while (engine.numWaiting > 0 || engine.counts.numRunning < sequences) engine.step();
  while (engine.step().events.length < sequences);
  return { name, adapters, engine, stepMs: [] };
}

const rows = Array.from({ length: sequences }, (_, n) => n);
const cases = [
  makeCase(
    'base',
    rows.map(() => BASE_ADAPTER),
  ),
  makeCase(
    'base again',
    rows.map(() => BASE_ADAPTER),
  ),
  makeCase(
    'one adapter',
    rows.map(() => adapterNumber(0)),
  ),
  makeCase('all distinct', rows.map(adapterNumber)),
  ...counts.map((count) =>
    makeCase(`${count} adapters, zipf`, zipf(count, sequences, Rng.fromSeed(count, 'zipf')).map(adapterNumber)),
  ),
];

for (let step = 0; step < steps; step++) {
  for (let turn = 0; turn < cases.length; turn++) {
    const { engine, stepMs } = cases[(step + turn) % cases.length];
    const startedMs = systemClock.nowMs();
    engine.step();
    stepMs.push(systemClock.nowMs() - startedMs);
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

const baseMs = median(cases[0].stepMs);
const results = cases.map(({ name, adapters, stepMs }) => ({
  case: name,
  distinctAdapters: new Set(adapters).size,
  adapterBytes: [...new Set(adapters)].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  stepMs: median(stepMs),
  tokensPerSecond: (1000 * sequences) / median(stepMs),
  /** How much of the base's throughput is lost. */
  tax: 1 - baseMs / median(stepMs),
}));
const setting = {
  base: values.base,
  format,
  codes: values.codes,
  rank,
  sequences,
  context,
  steps,
  threads: kernels.threads,
};
if (values.json) {
  console.log(JSON.stringify({ ...setting, instructionSet: kernels.name, results }, null, 2));
} else {
  console.log(
    `${kernels.name}, ${kernels.threads} threads, ${format} weights, rank ${rank} in ${values.codes}, ${sequences} sequences`,
  );
  console.log('case                    distinct   MB a step   ms a step    tokens/s       tax');
  for (const one of results) {
    const cells = [
      one.case.padEnd(22),
      `${one.distinctAdapters}`.padStart(9),
      (one.adapterBytes / 1e6).toFixed(1).padStart(11),
      one.stepMs.toFixed(2).padStart(11),
      one.tokensPerSecond.toFixed(1).padStart(11),
      `${(100 * one.tax).toFixed(1)} %`.padStart(9),
    ];
    console.log(cells.join(' '));
  }
}
