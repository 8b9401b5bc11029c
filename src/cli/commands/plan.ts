import { Command } from 'commander';
import { makePlan, PLANNED_METHODS, renderPlan, type AppConfig, type PlanRequest } from '../../app/index.ts';
import { oneOf, positiveInteger, positiveNumber } from '../options.ts';
import { Output, type OutputOptions } from '../output.ts';

export function planCommand(config: AppConfig): Command {
  return new Command('plan')
    .description('say what a run and a server will cost: parameters, memory by part, storage, time')
    .requiredOption('--model <name>', 'a preset (3b, 7b, 13b, 65b, 70b, smollm2-135m) or a config.json')
    .option('--method <name>', `one of ${PLANNED_METHODS.join(', ')}`, oneOf(PLANNED_METHODS), 'lora')
    .option(
      '--rank <n>',
      'rank of the update; the block size of oft and boft, the frequencies of fourierft',
      positiveInteger,
      8,
    )
    .option('--targets <which>', 'attention, attention-qv, mlp, all-linear, or module names', 'attention')
    .option('--virtual-tokens <n>', 'of prompt-tuning, p-tuning and prefix-tuning (default: 20)', positiveInteger)
    .option('--trained-tokens <n>', 'tokens whose embeddings trainable-tokens trains (default: 1)', positiveInteger)
    .option('--labels <n>', 'of a classification, whose head is trained beside the adapter', positiveInteger)
    .option('--base-format <format>', 'weights of the base: f32, bf16, int8, nf4 (default: bf16, nf4 for qlora)')
    .option('--adapter-format <format>', 'numbers in an adapter file: f32 or bf16')
    .option(
      '--kv-format <format>',
      'keys and values of the server: f32, or bf16 as it holds them where it multiplies in bf16 (default: f32)',
    )
    .option('--batch <n>', 'sequences of a training step, and of the server at once', positiveInteger, 8)
    .option('--seq <n>', 'tokens of each sequence', positiveInteger, 1024)
    .option('--adapters <n>', 'adapters to store and to serve', positiveInteger, 100)
    .option('--train-tokens <n>', 'tokens to train on', positiveInteger, 1_000_000)
    .option('--micro-batch-tokens <n>', 'tokens that training holds at once (default: as train)', positiveInteger)
    .option(
      '--gigaflops <x>',
      'what the machine sustains, in GFLOP/s (default: as measured by bench train --calibrate, or 150)',
      positiveNumber,
    )
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Examples:
  espalier plan --model 7b --method lora --rank 8
  espalier plan --model 70b --method full
  espalier plan --model smollm2-135m --method lora --labels 77
  espalier plan --model ./my-model/config.json --method qlora --targets all-linear --batch 4 --seq 2048 --json`,
    )
    .action((options: PlanRequest & OutputOptions) => {
      const plan = makePlan(options, config);
      new Output(options).result(plan, renderPlan(plan));
    });
}
