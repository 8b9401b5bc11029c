import { Command, Option } from 'commander';
import {
  SCHEDULE_NAMES,
  trainAdapter,
  TRAIN_DEFAULTS as DEFAULTS,
  TRAINING_METHODS,
  type AppConfig,
  type TrainOptions,
} from '../../app/index.ts';
import { fraction, nonNegativeNumber, oneOf, positiveInteger, positiveNumber, wholeNumber } from '../options.ts';
import { formatBytes, formatSeconds, Output, table, type OutputOptions } from '../output.ts';
import { modelProgress } from '../model-progress.ts';

export function trainCommand(config: AppConfig): Command {
  return new Command('train')
    .description('train an adapter on a JSONL file of chats or prompt/completion pairs; writes a PEFT folder')
    .requiredOption('--base <name>', 'base model: a name, a folder or a .gguf file')
    .requiredOption('--data <file>', 'training examples, one JSON object a line')
    .option('--valid <file>', 'held-out examples: the adapter that is best on them is kept')
    .addOption(
      new Option('--method <name>', `PEFT method that can be trained: ${TRAINING_METHODS.join(', ')}`)
        .default(DEFAULTS.method)
        .argParser(oneOf(TRAINING_METHODS)),
    )
    .option('--rank <n>', 'rank of the update', positiveInteger, DEFAULTS.rank)
    .option('--alpha <x>', 'the update is scaled by alpha/rank', positiveNumber, DEFAULTS.alpha)
    .option('--dropout <p>', 'dropout on the input of the update', fraction, DEFAULTS.dropout)
    .option('--rslora', 'scale by alpha/sqrt(rank) instead', DEFAULTS.rslora)
    .option('--targets <which>', 'attention, attention-qv, mlp, all-linear, module names, or /regex/', DEFAULTS.targets)
    .option('--epochs <n>', 'passes over the data', positiveInteger, DEFAULTS.epochs)
    .option('--max-steps <n>', 'optimizer steps, instead of --epochs', positiveInteger)
    .option('--batch-tokens <n>', 'tokens of one optimizer step', positiveInteger, DEFAULTS.batchTokens)
    .option('--micro-batch-tokens <n>', 'tokens held in memory at once (default: --batch-tokens)', positiveInteger)
    .option('--learning-rate <x>', 'peak learning rate', positiveNumber, DEFAULTS.learningRate)
    .addOption(
      new Option('--schedule <name>', 'how the rate falls').default(DEFAULTS.schedule).argParser(oneOf(SCHEDULE_NAMES)),
    )
    .option('--warmup <share>', 'share of the steps in which the rate rises', fraction, DEFAULTS.warmup)
    .option('--weight-decay <x>', 'decoupled weight decay', nonNegativeNumber, DEFAULTS.weightDecay)
    .option('--seed <n>', 'decides initial values, order and dropout', wholeNumber, DEFAULTS.seed)
    .option('--evaluate-every <n>', 'steps between evaluations on --valid (default: 25)', positiveInteger)
    .option('--checkpoint-every <n>', 'steps between checkpoints', positiveInteger, DEFAULTS.checkpointEvery)
    .requiredOption('--output <dir>', 'folder for the adapter (and the checkpoint while it trains)')
    .option(
      '--threads <n>',
      'cores to use (default: ESPALIER_THREADS, or all): leave some to a server',
      positiveInteger,
    )
    .option('--publish <tenant/task>', 'publish the result in the registry')
    .option('--resume', 'go on from the checkpoint in --output', false)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Examples:
  espalier train --base smollm2-135m-instruct --data train.jsonl --valid valid.jsonl --output my-adapter
  espalier train --base smollm2-135m-instruct --data train.jsonl --output my-adapter --rank 16 --targets all-linear \\
    --learning-rate 1e-3 --epochs 3 --publish acme/triage`,
    )
    .action(async ({ threads = config.threads, ...options }: TrainOptions & OutputOptions & { threads?: number }) => {
      const output = new Output(options);
      const progress = output.progress('training');
      try {
        const outcome = await trainAdapter({ ...config, threads }, options, {
          onModelProgress: modelProgress(output),
          onStarted(started) {
            for (const { where, message } of started.warnings) output.line(`warning: ${where}: ${message}`);
            const share = (100 * started.trainableParameters) / started.totalParameters;
            output.line(
              `${started.trainExamples} examples, ${started.trainTokens} tokens; ${started.trainableParameters} trainable parameters (${share.toFixed(2)} % of ${started.totalParameters})`,
            );
            if (started.startStep > 0) output.line(`resumed after step ${started.startStep}`);
          },
          onStep({ report, tokensPerSecond, secondsLeft }) {
            const valid = report.valid ? `, held-out ${report.valid.loss.toFixed(4)}` : '';
            const note = `loss ${report.loss.toFixed(4)}${valid}, ${Math.round(tokensPerSecond)} tokens/s, ${formatSeconds(secondsLeft)} left`;
            progress.update(report.step, report.totalSteps, note);
          },
        });
        progress.stop();
        const text = table([
          ['adapter', outcome.adapter ?? outcome.output],
          ['digest', outcome.digest],
          ['steps', `${outcome.steps} (best: ${outcome.bestStep})`],
          ['train loss', outcome.trainLoss.toFixed(4)],
          ['held-out loss', outcome.validLoss?.toFixed(4) ?? 'none (give --valid)'],
          ['tokens', `${outcome.trainedTokens} at ${Math.round(outcome.tokensPerSecond)}/s`],
          ['time', formatSeconds(outcome.seconds)],
          ['size', formatBytes(outcome.adapterBytes)],
          ['peak memory', formatBytes(outcome.peakMemoryBytes)],
        ]);
        output.result(outcome, text);
      } finally {
        progress.stop();
      }
    });
}
