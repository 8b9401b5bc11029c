import { Command } from 'commander';
import { checkData, type AppConfig } from '../../app/index.ts';
import { wholeNumber } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';
import { modelProgress } from '../model-progress.ts';

export function dataCommand(config: AppConfig): Command {
  const check = new Command('check')
    .description('validate a training file, count its tokens, show what would be learned')
    .argument('<file>', 'a JSONL file')
    .requiredOption('--base <name>', 'base model whose tokenizer and chat template apply')
    .option('--preview <n>', 'examples to show; [[double brackets]] mark what is learned', wholeNumber, 2)
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  espalier data check train.jsonl --base smollm2-135m-instruct')
    .action(async (file: string, options: { base: string; preview: number } & OutputOptions) => {
      const output = new Output(options);
      const report = await checkData(config, { file, ...options }, modelProgress(output));
      const text = [
        table([
          ['file', report.file],
          ['examples', report.examples],
          ['tokens', report.tokens],
          ['learned tokens', report.learnedTokens],
          [
            'tokens of an example',
            `median ${report.lengths.p50}, 95 % ${report.lengths.p95}, longest ${report.lengths.max} (the base takes ${report.contextLength})`,
          ],
        ]),
        ...report.warnings.map(({ where, message }) => `warning: ${where}: ${message}`),
        ...report.preview.map(
          ({ line, spans }) =>
            `\nline ${line}:\n${spans.map(({ text: part, weight }) => (weight === 0 ? part : `[[${part}]]`)).join('')}`,
        ),
      ];
      output.result(report, text.join('\n'));
    });
  return new Command('data').description('look at training data').addCommand(check);
}
