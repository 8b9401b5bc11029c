import { Command, Option } from 'commander';
import {
  DEFAULT_MICRO_BATCH_TOKENS,
  DEFAULT_VALID_SHARE,
  dryRun,
  LORA_STARTS,
  repeatRun,
  SCHEDULE_NAMES,
  trainAdapter,
  TRAIN_DEFAULTS as DEFAULTS,
  TRAINING_METHODS,
  type AppConfig,
  type Compute,
  type RepeatOptions,
  type TrainOptions,
  WEIGHT_FORMATS,
} from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import {
  byteSize,
  computeOption,
  fraction,
  nonNegativeNumber,
  oneOf,
  positiveInteger,
  positiveNumber,
  wholeNumber,
} from '../options.ts';
import { Output, type OutputOptions } from '../output.ts';
import { modelProgress } from '../model-progress.ts';
import { methodOptions } from '../method-options.ts';
import { objectiveOptions } from '../objective-options.ts';
import { dryRunText, outcomeText, trainEvents } from '../train-report.ts';
import { stopOnSignal } from '../until-signal.ts';

/** What may be said beside --from-run, which says everything else. */
const REPEAT_OPTIONS =
  'fromRun base data valid checkpointEvery samples tensorboard threads output publish resume restart json'.split(' ');
const REQUIRED = { base: '--base <name>', data: '--data <file>', output: '--output <dir>' } as const;

export function trainCommand(baseConfig: AppConfig): Command {
  const command = new Command('train')
    .description('train an adapter on a JSONL file of chats, completions or preferences; writes a PEFT folder')
    .option('--base <name>', 'base model: a name, a folder or a .gguf file')
    .option('--data <file>', 'training examples, one JSON object a line')
    .option('--valid <file>', 'held-out examples: the adapter that is best on them is kept')
    .option(
      '--valid-share <share>',
      `share of --data that is held out without --valid, by content; 0 for none (default: ${DEFAULT_VALID_SHARE}, at most 256 examples)`,
      fraction,
    )
    .addOption(
      new Option('--method <name>', `PEFT method that can be trained: ${TRAINING_METHODS.join(', ')}`)
        .default(DEFAULTS.method)
        .argParser(oneOf(TRAINING_METHODS)),
    )
    .addOption(
      new Option(
        '--format <format>',
        "the base's weights: " + `${WEIGHT_FORMATS.join(', ')} (default: bf16, nf4 for qlora)`,
      ).argParser(oneOf(WEIGHT_FORMATS)),
    )
    .addOption(computeOption())
    .option('--start <name>', `first values of LoRA's A and B: ${LORA_STARTS.join(', ')}`, oneOf(LORA_STARTS))
    .option('--rate-ratio <x>', "LoRA+: B's learning rate over A's, for example 16", positiveNumber)
    .option('--freeze-a', 'LoRA-FA: train B alone, and keep no inputs of layers for A')
    .option('--epochs <n>', 'passes over the data', positiveInteger, DEFAULTS.epochs)
    .option('--max-steps <n>', 'optimizer steps, instead of --epochs', positiveInteger)
    .option('--batch-tokens <n>', 'tokens of one optimizer step', positiveInteger, DEFAULTS.batchTokens)
    .option(
      '--micro-batch-tokens <n>',
      `tokens held in memory at once (default: ${DEFAULT_MICRO_BATCH_TOKENS})`,
      positiveInteger,
    )
    .option('--memory <size>', 'picks the micro-batch so that the run takes no more, for example 2GiB', byteSize)
    .option('--recompute', 'compute activations again on the way back: less memory, more time, the same result')
    .option(
      '--learning-rate <x>',
      'peak learning rate (default: 2e-4 · 4096/width · 16/alpha · √(batch/2048), a tenth for preferences)',
      positiveNumber,
    )
    .addOption(
      new Option('--schedule <name>', 'how the rate falls').default(DEFAULTS.schedule).argParser(oneOf(SCHEDULE_NAMES)),
    )
    .option('--warmup <share>', 'share of the steps in which the rate rises', fraction, DEFAULTS.warmup)
    .option(
      '--weight-decay <x>',
      'decoupled weight decay, of all but biases and norms',
      nonNegativeNumber,
      DEFAULTS.weightDecay,
    )
    .option('--seed <n>', 'decides initial values, order and dropout', wholeNumber, DEFAULTS.seed)
    .option('--evaluate-every <n>', 'steps between evaluations on held-out data (default: 25)', positiveInteger)
    .option('--patience <n>', 'stop after so many evaluations in a row that were not the best', positiveInteger)
    .option('--samples <n>', 'held-out prompts that are answered at every evaluation', wholeNumber, DEFAULTS.samples)
    .option('--checkpoint-every <n>', 'steps between checkpoints', positiveInteger, DEFAULTS.checkpointEvery)
    .option('--output <dir>', 'folder for the adapter; what is known of the run goes into its folder run/')
    .option('--tensorboard <dir>', 'folder for TensorBoard event files')
    .option(
      '--threads <n>',
      'cores to use (default: ESPALIER_THREADS, or all): leave some to a server',
      positiveInteger,
    )
    .option('--publish <tenant/task>', 'publish the result in the registry')
    .option('--resume', 'go on from the checkpoint in --output', false)
    .option('--restart', 'drop the checkpoint of an unfinished run in --output and begin anew', false)
    .option('--from-run <file>', 'repeat the run of a record (run/run.json), to the same bytes')
    .option('--dry-run', 'check data and settings, show what would be learned, and train nothing', false)
    .option('--json', 'print one JSON document');
  for (const option of [...objectiveOptions(), ...methodOptions()]) command.addOption(option);
  return command
    .addHelpText(
      'after',
      `
Examples:
  espalier train --base smollm2-135m-instruct --data train.jsonl --valid valid.jsonl --output my-adapter
  espalier train --base smollm2-135m-instruct --data train.jsonl --output my-adapter --rank 16 --targets all-linear \\
    --learning-rate 1e-3 --epochs 3 --publish acme/triage
  espalier train --base smollm2-135m-instruct --data pairs.jsonl --output preferred --objective dpo --beta 0.1
  espalier train --base smollm2-135m-instruct --data labelled.jsonl --output topics --objective classification \\
    --labels billing,shipping,other
  espalier train --base smollm2-135m-instruct --data train.jsonl --output my-adapter --dry-run
  espalier train --base smollm2-135m-instruct --data train.jsonl --output my-vectors --method ia3 --learning-rate 3e-3
  espalier train --base smollm2-135m-instruct --data train.jsonl --output sooner --format int8 --compute int8
  espalier train --from-run my-adapter/run/run.json --output again`,
    )
    .action(async (flags: TrainOptions & OutputOptions & TrainFlags, command: Command) => {
      const { threads = baseConfig.threads, compute = baseConfig.compute, ...options } = flags;
      const config = { ...baseConfig, threads, compute };
      if (options.fromRun !== undefined) requireRepeatable(command);
      requireOptions(options, options.fromRun === undefined ? ['base', 'data', 'output'] : ['output']);
      const output = new Output(options);
      const onModelProgress = modelProgress(output);
      if (options.dryRun) {
        const dry = await dryRun(config, { ...options, preview: PREVIEWED }, onModelProgress);
        output.result(dry, dryRunText(dry));
        return;
      }
      const progress = output.progress('training');
      const events = { onModelProgress, ...trainEvents(output, progress) };
      if (options.resume && options.restart) fail('USAGE_INVALID', 'give --resume or --restart, not both');
      using signals = stopOnSignal('stopping after this step, with a checkpoint');
      try {
        if (options.fromRun === undefined) {
          const outcome = await trainAdapter(config, options, events, { stop: signals.stop });
          progress.stop();
          output.result(outcome, outcomeText(outcome));
          return;
        }
        const outcome = await repeatRun(
          config,
          { ...options, fromRun: options.fromRun } satisfies RepeatOptions,
          events,
          { stop: signals.stop },
        );
        progress.stop();
        const same = outcome.isSame ? 'the same bytes as the first run' : 'other bytes than the first run';
        output.result(outcome, [outcomeText(outcome), same, ...outcome.differences].join('\n'));
      } finally {
        progress.stop();
      }
    });
}

interface TrainFlags {
  readonly threads?: number | undefined;
  readonly compute?: Compute | undefined;
  readonly fromRun?: string | undefined;
  readonly dryRun: boolean;
}

/** Examples that --dry-run shows. */
const PREVIEWED = 2;

/** The record says all that decides the bytes: an option that says it again would be dropped, or would not repeat the run. */
function requireRepeatable(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (REPEAT_OPTIONS.includes(name) || command.getOptionValueSource(name) !== 'cli') continue;
    fail(
      'USAGE_INVALID',
      `${option.long ?? name} cannot be given with --from-run, whose record decides it: leave it out`,
      {
        param: option.long ?? name,
      },
    );
  }
}

/** With --from-run fewer options are needed, which commander cannot say. */
function requireOptions(options: Partial<TrainOptions>, names: readonly (keyof typeof REQUIRED)[]): void {
  for (const name of names) {
    if (options[name] === undefined) {
      fail('USAGE_INVALID', `required option '${REQUIRED[name]}' not specified (espalier train --help)`, {
        param: REQUIRED[name],
      });
    }
  }
}
