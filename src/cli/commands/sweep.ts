import { Command } from 'commander';
import {
  DEFAULT_MICRO_BATCH_TOKENS,
  sweep,
  TRAIN_DEFAULTS as DEFAULTS,
  TRAINING_METHODS,
  type AppConfig,
  type Compute,
  type SweepEvents,
  type SweepOptions,
  type SweepReport,
  WEIGHT_FORMATS,
} from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import { computeOption, listOf, numbersOf, oneOf, positiveInteger, positiveNumber, wholeNumber } from '../options.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';
import { Pace } from '../pace.ts';
import { modelProgress } from '../model-progress.ts';
import { objectiveOptions } from '../objective-options.ts';
import { stopOnSignal } from '../until-signal.ts';

/** Tokens of one pass over all runs: more take memory and gain no speed. */
const GROUP_TOKENS = DEFAULT_MICRO_BATCH_TOKENS;

interface SweepFlags extends Omit<SweepOptions, 'methods' | 'ranks' | 'learningRates'>, OutputOptions {
  readonly threads?: number | undefined;
  readonly compute?: Compute | undefined;
  readonly method: SweepOptions['methods'];
  readonly rank?: number[];
  readonly learningRate?: number[];
}

export function sweepCommand(config: AppConfig): Command {
  const command = new Command('sweep')
    .description(
      'train a grid of methods, ranks and learning rates together over one base; prints a table, the best marked',
    )
    .requiredOption('--base <name>', 'base model: a name, a folder or a .gguf file')
    .requiredOption('--data <file>', 'training examples, one JSON object a line')
    .option('--valid <file>', 'held-out examples: the best adapter is the best on them (default: a part of --data)')
    .option('--method <names>', `PEFT methods, with commas: ${TRAINING_METHODS.join(', ')}`, listOf(TRAINING_METHODS), [
      DEFAULTS.method,
    ])
    .option('--rank <list>', "ranks, with commas (default: the method's)", numbersOf(positiveInteger))
    .option('--learning-rate <list>', 'peak learning rates, with commas (default: as train)', numbersOf(positiveNumber))
    .option('--alpha <x>', 'the update is scaled by alpha/rank', positiveNumber)
    .option('--targets <which>', 'attention, attention-qv, mlp, all-linear, module names, or /regex/')
    .option(
      '--format <format>',
      `the base's weights: ${WEIGHT_FORMATS.join(', ')} (default: bf16, nf4 for qlora alone)`,
      oneOf(WEIGHT_FORMATS),
    )
    .addOption(computeOption())
    .option('--epochs <n>', 'passes over the data', positiveInteger, DEFAULTS.epochs)
    .option('--max-steps <n>', 'optimizer steps of each run, instead of --epochs', positiveInteger)
    .option('--batch-tokens <n>', 'tokens of one optimizer step of a run', positiveInteger, DEFAULTS.batchTokens)
    .option('--group-tokens <n>', 'tokens held in memory at once, of all runs together', positiveInteger, GROUP_TOKENS)
    .option('--seed <n>', 'decides initial values, order and dropout of every run', wholeNumber, DEFAULTS.seed)
    .option('--evaluate-every <n>', 'steps between evaluations on held-out data (default: 25)', positiveInteger)
    .requiredOption('--output <dir>', 'folder for the adapters, one folder each')
    .option(
      '--threads <n>',
      'cores to use (default: ESPALIER_THREADS, or all): leave some to a server',
      positiveInteger,
    )
    .option('--publish <tenant/task>', 'publish the best in the registry')
    .option(
      '--resume',
      'go on with the unfinished runs of the sweep in --output, and keep what has been reached',
      false,
    )
    .option('--restart', 'drop the unfinished sweep in --output and begin anew', false)
    .option('--json', 'print one JSON document');
  for (const option of objectiveOptions()) command.addOption(option);
  return command
    .addHelpText(
      'after',
      `
Each run ends in the bytes that \`espalier train\` makes with the same options
(and --micro-batch-tokens N, if --group-tokens N is less than ${DEFAULT_MICRO_BATCH_TOKENS}).
Ctrl-c leaves a checkpoint of every run that is under way; the same command with
--resume goes on, and ends as if nobody had interrupted it.

Examples:
  espalier sweep --base smollm2-135m-instruct --data train.jsonl --valid valid.jsonl --rank 4,8,16 \\
    --learning-rate 1e-4,3e-4 --max-steps 100 --output sweep
  espalier sweep --base smollm2-135m-instruct --data labelled.jsonl --objective classification --method lora,ia3 \\
    --output sweep
  espalier sweep --base smollm2-135m-instruct --data train.jsonl --rank 4,8 --output sweep --publish acme/triage
  espalier sweep --base smollm2-135m-instruct --data train.jsonl --rank 4,8 --output sweep --publish acme/triage --resume`,
    )
    .action(async (flags: SweepFlags) => {
      if (flags.resume && flags.restart) fail('USAGE_INVALID', 'give --resume or --restart, not both');
      const output = new Output(flags);
      const progress = output.progress('sweep');
      const pace = new Pace();
      const { method, rank, learningRate, threads = config.threads, compute = config.compute, ...shared } = flags;
      const options = {
        ...DEFAULTS,
        ...shared,
        microBatchTokens: Math.min(DEFAULT_MICRO_BATCH_TOKENS, shared.groupTokens),
        methods: method,
        samples: 0,
        ranks: rank,
        learningRates: learningRate,
      };
      using signals = stopOnSignal('stopping after this step, with a checkpoint of every run');
      try {
        const events: SweepEvents = {
          onModelProgress: modelProgress(output),
          onStep({ step, totalSteps, numRunning, tokensPerSecond }) {
            const now = `${numRunning} running, ${Math.round(tokensPerSecond)} tokens/s`;
            const speed = pace.note(step, totalSteps, (rate) => `${rate.toFixed(1)} steps`);
            progress.update(step, totalSteps, speed === '' ? now : `${now}, ${speed}`);
          },
        };
        const report = await sweep({ ...config, threads, compute }, options, events, { stop: signals.stop });
        progress.stop();
        output.result(report, tableOf(report));
      } finally {
        progress.stop();
      }
    });
}

function tableOf({ rows, best }: SweepReport): string {
  const head = ['', 'run', 'parameters', 'train loss', 'held-out loss', 'accuracy', 'size', 'time'];
  const lines = rows.map(({ name, result, error, timeShare }) => {
    const mark = name === best ? '*' : '';
    if (!result) return [mark, name, `${error?.code ?? ''}: ${error?.message ?? ''}`, '', '', '', '', ''];
    return [
      mark,
      name,
      String(result.trainableParameters),
      result.trainLoss.toFixed(4),
      result.validLoss?.toFixed(4) ?? '-',
      result.validAccuracy?.toFixed(3) ?? '-',
      formatBytes(result.adapterBytes),
      `${(100 * timeShare).toFixed(0)} %`,
    ];
  });
  return table([head, ...lines]);
}
