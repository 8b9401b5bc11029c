/**
 * What do 8 adapters cost that are trained together, against 8 runs one after another? Rank 8 on q, k, v and o; each run has a base
 * of its own when it is alone, as `espalier train` does. Sides are measured in turn, each in a process of its own.
 *
 * steps   forward, backward and optimizer alone, after one step to warm up
 * whole   from the start of the process: opening the base included
 * memory  peak of the one process, against the sum over 8 processes
 *
 *   node bench/train-many.ts [--runs=8] [--steps=3] [--tokens=256,2048] [--rounds=3] [--base=NAME] [--threads=N]
 */
import { parseArgs } from 'node:util';
import { readConfig, resolveBase } from '../src/app/index.ts';
import { Rng, systemClock } from '../src/base/index.ts';
import { defaultLoraConfig } from '../src/formats/index.ts';
import { openBase } from '../src/model/index.ts';
import { BufferPool, loadNativeKernels } from '../src/numeric/index.ts';
import {
  DEFAULT_MICRO_BATCH_TOKENS,
  DEFAULT_OPTIMIZER,
  TrainingGroup,
  TrainingRun,
  type RunConfig,
} from '../src/training/index.ts';
import { jsonOf } from '../test/peers/json-child.ts';

interface Side {
  readonly stepSeconds: number;
  readonly peakBytes: number;
}

const SEQUENCE = 256;
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '8' },
    steps: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '256,2048' },
    rounds: { type: 'string', default: '3' },
    base: { type: 'string', default: 'smollm2-135m-instruct' },
    threads: { type: 'string' },
    /** Internal: the process of one side, with so many runs. */
    side: { type: 'string' },
  },
});
const [numRuns, steps, rounds] = [values.runs, values.steps, values.rounds].map(Number);
if (values.side === undefined) await compare();
else process.stdout.write(`${JSON.stringify(await measure(Number(values.side), Number(values.tokens)))}\n`);

/** Trains `count` runs together; alone is a group of one. */
async function measure(count: number, tokens: number): Promise<Side> {
  const config = readConfig();
  const threads = values.threads === undefined ? config.threads : Number(values.threads);
  const { open } = await resolveBase(config, values.base, undefined, 'bf16', 'training');
  const base = openBase(open, loadNativeKernels(threads === undefined ? {} : { threads }));
  const pool = new BufferPool();
  const group = new TrainingGroup(base, pool, DEFAULT_MICRO_BATCH_TOKENS);
  const rng = Rng.fromSeed(1, 'examples');
  for (let index = 0; index < count; index++) {
    const train = Array.from({ length: (tokens / SEQUENCE) * (steps + 1) }, () => ({
      tokenIds: Int32Array.from({ length: SEQUENCE }, () => rng.nextBelow(base.config.vocabSize)),
      lossWeights: new Float32Array(SEQUENCE).fill(1),
    }));
    group.add(`${index}`, new TrainingRun(base, { train, valid: [] }, runConfig(tokens, index), pool));
  }
  let [warm, startedMs] = [0, 0];
  while (group.size > 0) {
    for (const event of group.pass()) if (event.type === 'step' && event.report.step === 1) warm++;
    if (warm === count && startedMs === 0) startedMs = systemClock.nowMs();
  }
  return {
    stepSeconds: (systemClock.nowMs() - startedMs) / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function runConfig(tokens: number, seed: number): RunConfig {
  return {
    adapter: { ...defaultLoraConfig(), r: 8, lora_alpha: 16, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
    maxSteps: steps + 1,
    epochs: 1,
    batchTokens: tokens,
    microBatchTokens: tokens,
    learningRate: 2e-4,
    schedule: 'constant',
    warmup: 0,
    seed,
    optimizer: DEFAULT_OPTIMIZER,
    evaluateEverySteps: steps + 1,
  };
}

async function compare(): Promise<void> {
  for (const tokens of values.tokens.split(',').map(Number)) {
    for (let round = 1; round <= rounds; round++) {
      const together = await timed(numRuns, tokens);
      const apart = { stepSeconds: 0, peakBytes: 0, wholeSeconds: 0 };
      for (let run = 0; run < numRuns; run++) {
        const one = await timed(1, tokens);
        apart.stepSeconds += one.stepSeconds;
        apart.peakBytes += one.peakBytes;
        apart.wholeSeconds += one.wholeSeconds;
      }
      const ratio = (of: keyof typeof apart): string => (together[of] / apart[of]).toFixed(3);
      process.stdout.write(
        `${tokens} tokens a step, round ${round}: steps ${together.stepSeconds.toFixed(2)} s to ${apart.stepSeconds.toFixed(2)} s ` +
          `(${ratio('stepSeconds')}), whole ${ratio('wholeSeconds')}, memory ${ratio('peakBytes')}\n`,
      );
    }
  }
}

async function timed(count: number, tokens: number): Promise<Side & { wholeSeconds: number }> {
  const startedMs = systemClock.nowMs();
  const shared = [
    `--steps=${steps}`,
    `--base=${values.base}`,
    ...(values.threads ? [`--threads=${values.threads}`] : []),
  ];
  const side = await jsonOf<Side>(process.execPath, [
    import.meta.filename,
    `--side=${count}`,
    `--tokens=${tokens}`,
    ...shared,
  ]);
  return { ...side, wholeSeconds: (systemClock.nowMs() - startedMs) / 1000 };
}
