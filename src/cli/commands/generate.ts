import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { generateText, parseMessages, type AppConfig, type WeightFormat } from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import { modelProgress } from '../model-progress.ts';
import { fraction, nonNegativeNumber, positiveInteger, weightsOption, wholeNumber } from '../options.ts';
import { Output, type OutputOptions } from '../output.ts';

interface GenerateFlags extends OutputOptions {
  readonly base: string;
  readonly adapter?: string;
  readonly format: WeightFormat;
  readonly prompt?: string;
  readonly messages?: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
}

export function generateCommand(config: AppConfig): Command {
  return new Command('generate')
    .description('one answer, without a server')
    .requiredOption('--base <name>', 'base model: a name, a folder or a .gguf file')
    .option('--adapter <ref>', 'TENANT/TASK[@VERSION], sha256:… or a PEFT folder')
    .addOption(weightsOption())
    .option('--prompt <text>', 'what the user says')
    .option('--messages <file>', 'a JSON array of {role, content}, instead of --prompt')
    .option('--max-tokens <n>', 'tokens of the answer, at most', positiveInteger, 256)
    .option('--temperature <x>', '0 is greedy', nonNegativeNumber, 0)
    .option('--top-p <x>', 'nucleus of the sampled tokens, 0 for all', fraction, 0)
    .option('--seed <n>', 'of the sampling', wholeNumber, 0)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Examples:
  espalier generate --base smollm2-135m-instruct --prompt "Name three fruits"
  espalier generate --base smollm2-135m-instruct --adapter acme/triage --messages chat.json --json`,
    )
    .action(async (options: GenerateFlags) => {
      const output = new Output(options);
      const messages = messagesFrom(options);
      const topP = options.topP === 0 ? 1 : options.topP;
      const generated = await generateText(config, { ...options, messages, topP }, modelProgress(output));
      output.result(generated, generated.text);
    });
}

function messagesFrom({ prompt, messages }: GenerateFlags): ReturnType<typeof parseMessages> {
  if ((prompt === undefined) === (messages === undefined)) fail('USAGE_INVALID', 'give either --prompt or --messages');
  if (prompt !== undefined) return [{ role: 'user', content: prompt }];
  return parseMessages(readFileSync(messages as string, 'utf8'), messages as string);
}
