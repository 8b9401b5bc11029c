/**
 * Is as much learned from the same examples as with Hugging Face PEFT and TRL? Both train the same LoRA on the same token ids in the same batches
 * and order, with the same settings; each seed has an order of its own, and each side its own initial values. The adapters of both are scored by
 * our `evaluate`, on the same held-out examples (that an adapter of PEFT gives PEFT's logits here is `npm run peers:peft`'s business).
 *
 * The data is named by the caller: a folder with one folder a task, each with `train.jsonl` and `test.jsonl` in OpenAI's chat or preference form:
 * e2e_nlg (generation), extract_snips (extraction), sms_spam and support_banking77 (classification), headline_pref_upworthy (preference, DPO).
 *
 *   node bench/quality.ts DATA [--only=TASK,…] [--seeds=0,1,2] [--scale=1] [--test-scale=1] [--results=FILE] [--base=NAME] [--threads=N]
 *                              [--compute=f32|bf16|int8] [--sides=ours,peer]
 *
 * Both train in float32; --compute trains ours with products in bf16 or int8, on weights in bf16. All are scored on the base in float32.
 * --scale multiplies the examples of every task, --test-scale those of its score. --results keeps each finished run, one JSON line, and goes on from what is there. TRL is needed
 * for the preference task alone: ESPALIER_TRL_PYTHON names an interpreter that has bench/peers/trl-requirements.txt (without it, the peers' own).
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeArtefact } from '../src/adapters/index.ts';
import { evaluateFile, readConfig, resolveBase, type EvaluateOptions } from '../src/app/index.ts';
import { Rng, systemClock } from '../src/base/index.ts';
import { defaultLoraConfig } from '../src/formats/index.ts';
import { openBase } from '../src/model/index.ts';
import { COMPUTE_DTYPES, loadNativeKernels, type ComputeDtype } from '../src/numeric/index.ts';
import { openChatRenderer } from '../src/text/index.ts';
import { DEFAULT_OPTIMIZER, loadExamples, TrainingRun, type TokenExample } from '../src/training/index.ts';
import { peerBase, peerJson, peerPython } from '../test/peers/python.ts';

type Metric = EvaluateOptions['metric'];

interface Task {
  readonly name: string;
  readonly objective: 'sft' | 'dpo';
  /** Of training and of the score. */
  readonly numTrain: number;
  readonly numTest: number;
  readonly learningRate: number;
  readonly metrics: readonly Metric[];
}

const SFT = { objective: 'sft', learningRate: 2e-3 } as const;
const TASKS: readonly Task[] = [
  { name: 'e2e_nlg', ...SFT, numTrain: 128, numTest: 100, metrics: ['loss', 'rouge-l'] },
  { name: 'extract_snips', ...SFT, numTrain: 160, numTest: 100, metrics: ['loss', 'exact-match'] },
  { name: 'sms_spam', ...SFT, numTrain: 192, numTest: 200, metrics: ['loss', 'accuracy'] },
  { name: 'support_banking77', ...SFT, numTrain: 320, numTest: 154, metrics: ['loss', 'accuracy'] },
  {
    name: 'headline_pref_upworthy',
    objective: 'dpo',
    numTrain: 96,
    numTest: 100,
    learningRate: 2e-4,
    metrics: ['preference-accuracy'],
  },
];
const LORA = { r: 8, lora_alpha: 16, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] };
const ADAPTER = { ...defaultLoraConfig(), ...LORA };
const [BATCH_TOKENS, BETA, MAX_ANSWER_TOKENS] = [1024, 0.1, 80];

type Side = 'ours' | 'peer';
type Scores = Readonly<Record<string, number>>;
interface Result {
  readonly task: string;
  readonly side: Side;
  /** What our products rounded to, float32 where it is not said; not of a peer. */
  readonly compute?: ComputeDtype;
  readonly seed: number;
  readonly numTrain: number;
  readonly numTest: number;
  readonly steps: number;
  readonly lastLoss: number;
  readonly scores: Scores;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '0,1,2' },
    scale: { type: 'string', default: '1' },
    'test-scale': { type: 'string', default: '1' },
    results: { type: 'string' },
    base: { type: 'string', default: 'smollm2-135m-instruct' },
    threads: { type: 'string' },
    compute: { type: 'string', default: 'f32' },
    sides: { type: 'string', default: 'ours,peer' },
  },
});
const [dataFolder] = positionals;
if (dataFolder === undefined || !existsSync(dataFolder)) throw new Error('usage: node bench/quality.ts DATA');
const config = readConfig();
const threads = Number(values.threads ?? config.threads ?? availableParallelism());
const seeds = values.seeds.split(',').map(Number);
const scratch = mkdtempSync(join(tmpdir(), 'espalier-quality-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const { open, digest } = await resolveBase(config, values.base, undefined, 'f32');
const compute = readCompute(values.compute);
const format = compute === 'f32' ? 'f32' : 'bf16';
const base = openBase({ ...open, format, computeDtype: compute }, loadNativeKernels({ threads }));
const renderer = openChatRenderer(open.path);
const python = peerPython();
const peerFolder = peerBase(python, { path: open.path, digest }, 'f32');
const results: Result[] = readResults();

// Every task from one seed before the next: what is interrupted is a whole table with fewer seeds.
const wanted = TASKS.filter(({ name }) => values.only === undefined || values.only.split(',').includes(name));
for (const seed of seeds) for (const task of wanted) await compareTask(task, seed);
report();

/** Trains both sides from one seed, unless the results have them, and scores what they learned. */
async function compareTask(task: Task, seed: number): Promise<void> {
  const numTrain = Math.max(1, Math.round(task.numTrain * Number(values.scale)));
  const has = (side: Side): boolean =>
    !values.sides.split(',').includes(side) ||
    resultsOf(task.name, side).some((one) => one.seed === seed && one.numTrain === numTrain);
  if (has('ours') && has('peer')) return;
  const numTest = Math.max(1, Math.round(task.numTest * Number(values['test-scale'])));
  const test = someLines(join(dataFolder, task.name, 'test.jsonl'), numTest, `${task.name}-test.jsonl`);
  const file = someLines(join(dataFolder, task.name, 'train.jsonl'), numTrain, `${task.name}-train.jsonl`);
  const { examples } = loadExamples(file, renderer, base.config.contextLength, task.objective);
  const run = newRun(task, seed, examples);
  const [ours, peer] = ['ours', 'peer'].map((side) => join(scratch, `${task.name}-${seed}-${side}`));
  const batches = batchesOf(run);
  const keep = async (side: Side, folder: string, lastLoss: number): Promise<void> => {
    const scores = await score(task, folder, test);
    const result: Result = {
      task: task.name,
      side,
      ...(side === 'ours' && { compute }),
      seed,
      numTrain,
      numTest,
      steps: batches.length,
      lastLoss,
      scores,
    };
    results.push(result);
    if (values.results !== undefined) appendFileSync(values.results, `${JSON.stringify(result)}\n`);
    console.error(JSON.stringify(result));
  };
  if (!has('ours')) {
    let lastLoss = NaN;
    while (!run.isDone) lastLoss = run.step().loss;
    const tensors = new Map(run.parameters.map(({ name, value }) => [name, value]));
    writeArtefact(ours, { config: ADAPTER, tensors }, base.digest);
    await keep('ours', ours, lastLoss);
  }
  if (has('peer')) return;
  const job = {
    base: peerFolder,
    objective: task.objective,
    lora: LORA,
    batches: batches.map((batch) => batch.map((one) => (task.objective === 'dpo' ? pairJson(one) : exampleJson(one)))),
    learningRate: task.learningRate,
    beta: BETA,
    seed,
    threads,
    output: peer,
  };
  const path = join(scratch, 'job.json');
  writeFileSync(path, JSON.stringify(job));
  const interpreter = task.objective === 'dpo' ? (process.env['ESPALIER_TRL_PYTHON'] ?? python) : python;
  const trained = await peerJson<{ losses: number[] }>(interpreter, 'bench/peers/trl_quality.py', [path]);
  await keep('peer', peer, trained.losses.at(-1) ?? NaN);
}

function newRun(task: Task, seed: number, examples: readonly TokenExample[]): TrainingRun {
  return new TrainingRun(
    base,
    { train: examples, valid: [] },
    {
      adapter: ADAPTER,
      ...(task.objective === 'dpo' && { objective: { name: 'dpo', beta: BETA, labelSmoothing: 0 } }),
      maxSteps: null,
      epochs: 1,
      batchTokens: BATCH_TOKENS,
      microBatchTokens: BATCH_TOKENS,
      learningRate: task.learningRate,
      schedule: 'constant',
      warmup: 0,
      seed,
      optimizer: DEFAULT_OPTIMIZER,
      evaluateEverySteps: 1e6,
    },
  );
}

/** The examples of each step, in their order; the run is as it was. */
function batchesOf(run: TrainingRun): (readonly TokenExample[])[] {
  const batches = Array.from({ length: run.totalSteps }, (_, cursor) => {
    run.state.cursor = cursor;
    return run.openStep().batches.flatMap(({ examples }) => examples);
  });
  run.state.cursor = 0;
  return batches;
}

/** A copy of some lines of a file. */
function someLines(path: string, count: number, name: string): string {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  // Drawn once, the same for every seed and side: some test files are in the order of their labels.
  const drawn = Rng.fromSeed(0, name).shuffle(lines).slice(0, count);
  const copy = join(scratch, name);
  writeFileSync(copy, drawn.map((line) => `${line}\n`).join(''));
  return copy;
}

async function score(task: Task, adapter: string, data: string): Promise<Scores> {
  const scores: Record<string, number> = {};
  for (const metric of task.metrics) {
    const options = { base: values.base, adapter, format: 'f32', data, metric, maxTokens: MAX_ANSWER_TOKENS } as const;
    scores[metric] = (await evaluateFile({ ...config, threads }, options)).value;
  }
  return scores;
}

function exampleJson({ tokenIds, lossWeights }: TokenExample) {
  return { tokenIds: [...tokenIds], lossWeights: [...lossWeights] };
}

/** A pair's two sequences as a prompt with two answers, which is what TRL takes. */
function pairJson({ tokenIds, lossWeights, ends = [] }: TokenExample) {
  const [chosen, rejected] = [tokenIds.slice(0, ends[0]), tokenIds.slice(ends[0])];
  const start = lossWeights.findIndex((weight) => weight !== 0);
  return {
    prompt: Array.from(chosen.subarray(0, start)),
    chosen: Array.from(chosen.subarray(start)),
    rejected: Array.from(rejected.subarray(start)),
  };
}

function readResults(): Result[] {
  if (values.results === undefined || !existsSync(values.results)) return [];
  const lines = readFileSync(values.results, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Result);
}

/** What a side has of a task; of ours in the dtype of this run. */
function resultsOf(task: string, side: Side): Result[] {
  const isThis = ({ compute: ofIt = 'f32' }: Result): boolean => side === 'peer' || ofIt === compute;
  return results.filter((one) => one.task === task && one.side === side && isThis(one));
}

function readCompute(text: string): ComputeDtype {
  const compute = COMPUTE_DTYPES.find((dtype) => dtype === text);
  if (!compute) throw new Error(`--compute is one of ${COMPUTE_DTYPES.join(', ')}`);
  return compute;
}

/** A row for each task and metric: means over the seeds, and the noise of both sides together. */
function report(): void {
  const date = new Date(systemClock.epochMs()).toISOString().slice(0, 10);
  console.log(`Scores after the same examples; ours in ${compute}; ${threads} threads; ${date}\n`);
  console.log(
    '| task | metric | examples, steps, scored on | seeds | ours | peer | noise | ours - peer | within noise |',
  );
  console.log('| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |');
  const alone: string[] = [];
  for (const { name, metrics } of TASKS) {
    for (const metric of metrics) {
      const [ours, peer] = [resultsOf(name, 'ours'), resultsOf(name, 'peer')];
      if (ours.length === 0 || peer.length === 0) {
        for (const { side, seed, scores } of [...ours, ...peer])
          alone.push(`${name}, ${metric}, ${side}, seed ${seed}: ${scores[metric]}`);
        continue;
      }
      const [a, b] = [ours, peer].map((side) => side.map(({ scores }) => scores[metric]));
      const noise = Math.sqrt((deviation(a) ** 2 + deviation(b) ** 2) / 2);
      const difference = mean(a) - mean(b);
      const isWorse = metric === 'loss' ? difference > noise : difference < -noise;
      const cells = [
        name,
        metric,
        `${ours[0].numTrain}, ${ours[0].steps}, ${ours[0].numTest}`,
        ours.map(({ seed }) => seed).join(' '),
        spread(a),
        spread(b),
        noise.toFixed(4),
        difference.toFixed(4),
        ours.length < 2 || peer.length < 2
          ? 'one seed'
          : isWorse
            ? 'worse'
            : difference === 0 || Math.abs(difference) <= noise
              ? 'yes'
              : 'better',
      ];
      console.log(`| ${cells.join(' | ')} |`);
    }
  }
  if (alone.length > 0) console.log(['', 'one side alone', ...alone].join('\n'));
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}

/** The sample's standard deviation. */
function deviation(numbers: readonly number[]): number {
  const middle = mean(numbers);
  return Math.sqrt(numbers.reduce((sum, value) => sum + (value - middle) ** 2, 0) / Math.max(1, numbers.length - 1));
}

function spread(numbers: readonly number[]): string {
  return `${mean(numbers).toFixed(4)} (${numbers.map((value) => value.toFixed(3)).join(' ')})`;
}
