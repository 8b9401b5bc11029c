/**
 * Does `espalier plan` know what a run takes on this machine? Twelve runs of `espalier train` (methods, ranks and batches), each a process of its
 * own, beside what the plan said: peak memory of the training process, and seconds of its steps. The bars are 10 % and 25 %.
 *
 * The plan knows the machine from `espalier bench train --calibrate`; --calibrate does that first. None of the twelve is a run that it measures.
 *
 *   node bench/plan.ts [--calibrate] [--steps=3] [--base=smollm2-135m-instruct] [--model=smollm2-135m] [--json]
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig, resolveBase, writeDenseExamples, type Plan, type TrainOutcome } from '../src/app/index.ts';
import { openBase } from '../src/model/index.ts';
import { loadNativeKernels, type WeightFormat } from '../src/numeric/index.ts';
import { openChatRenderer } from '../src/text/index.ts';
import { jsonOf } from '../test/peers/json-child.ts';

interface Case {
  readonly method: string;
  readonly rank: number;
  readonly targets: string;
  readonly batch: number;
  readonly seq: number;
  readonly format: WeightFormat;
}

/** Errors are shares of what was measured; above 0, the plan said too much. */
interface Row {
  readonly run: string;
  readonly plannedBytes: number;
  readonly peakBytes: number;
  readonly memoryError: number;
  readonly plannedSeconds: number;
  readonly seconds: number;
  readonly timeError: number;
}

const BATCHES = [
  { batch: 2, seq: 256 },
  { batch: 10, seq: 96 },
] as const;
const METHODS = [
  { method: 'lora', format: 'bf16', targets: 'attention' },
  { method: 'qlora', format: 'nf4', targets: 'all-linear' },
  { method: 'dora', format: 'bf16', targets: 'attention' },
] as const;
const CASES: readonly Case[] = METHODS.flatMap((method) =>
  [4, 32].flatMap((rank) => BATCHES.map((batch) => ({ ...method, rank, ...batch }))),
);
const [MEMORY_BAR, TIME_BAR] = [0.1, 0.25];

const { values } = parseArgs({
  options: {
    calibrate: { type: 'boolean', default: false },
    steps: { type: 'string', default: '3' },
    base: { type: 'string', default: 'smollm2-135m-instruct' },
    model: { type: 'string', default: 'smollm2-135m' },
    json: { type: 'boolean', default: false },
  },
});
const steps = Number(values.steps);
const config = readConfig();
const folder = mkdtempSync(join(tmpdir(), 'espalier-plan-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const espalier = <T>(args: readonly string[]): Promise<T> =>
  jsonOf<T>(process.execPath, [join(import.meta.dirname, '..', 'src', 'cli', 'main.ts'), ...args, '--json']);
if (values.calibrate) await espalier(['bench', 'train', '--calibrate', '--base', values.base]);
if (!existsSync(join(config.home, 'machine.json'))) throw new Error('this machine was not measured: give --calibrate');

const rows: Row[] = [];
for (const one of CASES) {
  const row = await compare(one);
  rows.push(row);
  console.error(JSON.stringify(row));
}
const worst = (of: (row: Row) => number): number => Math.max(...rows.map((row) => Math.abs(of(row))));
const [memory, time] = [worst(({ memoryError }) => memoryError), worst(({ timeError }) => timeError)];
if (values.json) console.log(JSON.stringify({ rows, worst: { memory, time } }));
else {
  console.log('| run | planned peak | measured | off by | planned time | measured | off by |');
  console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const row of rows) {
    const cells = [
      row.run,
      ...[row.plannedBytes, row.peakBytes].map((bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`),
      percent(row.memoryError),
      ...[row.plannedSeconds, row.seconds].map((seconds) => `${seconds.toFixed(1)} s`),
      percent(row.timeError),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
  console.log(`\nworst: memory ${percent(memory)} (bar 10 %), time ${percent(time)} (bar 25 %)`);
}
process.exitCode = memory <= MEMORY_BAR && time <= TIME_BAR ? 0 : 1;

async function compare({ method, rank, targets, batch, seq, format }: Case): Promise<Row> {
  const { open } = await resolveBase(config, values.base, undefined, format);
  // Packs the base if nobody has: that is no part of a run.
  openBase(open, loadNativeKernels());
  const data = join(folder, 'data.jsonl');
  writeDenseExamples(data, openChatRenderer(open.path), { count: batch * steps, tokens: seq, seed: 1 });
  const shape = ['--method', method, '--rank', String(rank), '--targets', targets];
  const run = [
    '--base',
    values.base,
    '--data',
    data,
    '--output',
    join(folder, 'adapter'),
    '--max-steps',
    String(steps),
  ];
  const fixed = ['--batch-tokens', String(batch * seq), '--valid-share', '0', '--samples', '0'];
  const trained = await espalier<TrainOutcome>(['train', ...run, ...shape, ...fixed]);
  const sizes = ['--batch', String(batch), '--seq', String(seq), '--train-tokens', String(trained.trainedTokens)];
  const plan = await espalier<Plan>(['plan', '--model', values.model, ...shape, ...sizes]);
  const [plannedBytes, plannedSeconds] = [plan.training.totalBytes, plan.time.seconds];
  return {
    run: `${method}, rank ${rank} on ${targets}, ${batch}x${seq}`,
    plannedBytes,
    peakBytes: trained.peakMemoryBytes,
    memoryError: plannedBytes / trained.peakMemoryBytes - 1,
    plannedSeconds,
    seconds: trained.seconds,
    timeError: plannedSeconds / trained.seconds - 1,
  };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
