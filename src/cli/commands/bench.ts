import { Command } from 'commander';
import {
  benchDecode,
  benchTrain,
  calibrate,
  doubtsOf,
  parseTargets,
  type AppConfig,
  type BenchCase,
  type WeightFormat,
} from '../../app/index.ts';
import { modelProgress } from '../model-progress.ts';
import { positiveInteger, weightsOption } from '../options.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';
import { benchLoadCommand, benchServeCommand } from './bench-serving.ts';

interface BenchFlags extends OutputOptions {
  readonly base: string;
  readonly format: WeightFormat;
  readonly batch: number;
  readonly repetitions: number;
}

interface TrainBenchFlags {
  readonly data?: string;
  readonly seq: number;
  readonly rank: number;
  readonly targets: string;
  readonly calibrate: boolean;
}

export function benchCommand(config: AppConfig): Command {
  const train = common('train', 'LoRA training steps, on random tokens unless --data is given', 8)
    .option('--data <file>', 'training file (JSONL): a step takes about --batch of its examples')
    .option('--seq <n>', 'tokens of each sequence', positiveInteger, 256)
    .option('--rank <n>', 'rank of the update', positiveInteger, 8)
    .option('--targets <which>', 'as for train', 'attention')
    .option('--calibrate', 'measure what plan asks of a machine (some minutes), and keep it in ESPALIER_HOME', false)
    .action(async (options: BenchFlags & TrainBenchFlags) => {
      const output = new Output(options);
      if (options.calibrate) return calibrateMachine(config, options.base, output);
      const targets = parseTargets(options.targets);
      show(output, [await benchTrain(config, { ...options, targets }, modelProgress(output))]);
    });
  const decode = common('decode', 'greedy generation of several sequences at once', 1)
    .option('--prompt-tokens <n>', 'tokens of each prompt', positiveInteger, 64)
    .option('--new-tokens <n>', 'tokens generated for each', positiveInteger, 64)
    .action(async (options: BenchFlags & { promptTokens: number; newTokens: number }) => {
      const output = new Output(options);
      show(output, [await benchDecode(config, options, modelProgress(output))]);
    });
  return new Command('bench')
    .description('measure this machine')
    .addCommand(train)
    .addCommand(decode)
    .addCommand(benchServeCommand(config))
    .addCommand(benchLoadCommand(config));
}

function common(name: string, description: string, batch: number): Command {
  return new Command(name)
    .description(description)
    .option('--base <name>', 'base model', 'smollm2-135m-instruct')
    .addOption(weightsOption())
    .option('--batch <n>', 'sequences at once', positiveInteger, batch)
    .option('--repetitions <n>', 'measured repetitions, after one to warm up', positiveInteger, 5)
    .option('--json', 'print one JSON document')
    .addHelpText('after', `\nExample:\n  espalier bench ${name} --batch ${batch} --json`);
}

async function calibrateMachine(config: AppConfig, base: string, output: Output): Promise<void> {
  const progress = output.progress('measuring');
  try {
    const figures = await calibrate(config, base, {
      onModelProgress: modelProgress(output),
      onProgress: (numDone, total, what) => progress.update(numDone, total, what),
    });
    progress.stop();
    const gigaflops = (perFlop: number): string => (perFlop === 0 ? '?' : (1e-9 / perFlop).toFixed(0));
    const rows = Object.entries(figures.formats).map(([format, { perFlop }]) => [format, gigaflops(perFlop)]);
    const doubts = doubtsOf(figures);
    const warning = doubts.map((doubt) => `\ndoubtful: ${doubt}; measure again while nothing else runs`).join('');
    const found = table([['weights', 'GFLOP/s in training'], ...rows]);
    output.result({ ...figures, doubts }, `${found}${warning}`);
  } finally {
    progress.stop();
  }
}

function show(output: Output, cases: readonly BenchCase[]): void {
  const rows = cases.map((one) => [
    one.case,
    one.format,
    one.instructionSet,
    Math.round(one.tokensPerSecond),
    formatBytes(one.peakMemoryBytes),
  ]);
  output.result(cases, table([['case', 'weights', 'instructions', 'tokens/s', 'peak memory'], ...rows]));
}
