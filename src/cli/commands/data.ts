import { Command } from 'commander';
import { checkData, OBJECTIVES, type AppConfig, type CheckOptions, type DataReport } from '../../app/index.ts';
import { oneOf, wholeNumber } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';
import { modelProgress } from '../model-progress.ts';
import { previewText } from '../preview.ts';

export function dataCommand(config: AppConfig): Command {
  const check = new Command('check')
    .description('validate a training file, count its tokens and what it repeats, show what would be learned')
    .argument('<file>', 'a JSONL file: chats, completions, preference pairs, rated completions or labelled texts')
    .requiredOption('--base <name>', 'base model whose tokenizer and chat template apply')
    .option('--valid <file>', 'held-out examples, to be looked for in the file')
    .option('--objective <name>', `what it is for: ${OBJECTIVES.join(', ')}`, oneOf(OBJECTIVES))
    .option('--preview <n>', 'examples to show; [[double brackets]] mark what is learned', wholeNumber, 2)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  espalier data check train.jsonl --base smollm2-135m-instruct\n' +
        '  espalier data check pairs.jsonl --base smollm2-135m-instruct --valid valid.jsonl --objective dpo\n' +
        '  espalier data check labelled.jsonl --base smollm2-135m-instruct --objective classification',
    )
    .action(async (file: string, options: Omit<CheckOptions, 'file'> & OutputOptions) => {
      const output = new Output(options);
      const report = await checkData(config, { ...options, file }, modelProgress(output));
      const text = [
        table([
          ['file', report.file],
          ['examples', report.examples],
          ['tokens', report.tokens],
          [report.labels ? 'learned labels' : 'learned tokens', report.learnedTokens],
          ...(report.labels ? [['labels', labelsText(report.labels)] as const] : []),
          [
            'tokens of an example',
            `median ${report.lengths.p50}, 95 % ${report.lengths.p95}, longest ${report.lengths.max} (the base takes ${report.contextLength})`,
          ],
        ]),
        ...report.warnings.map(({ where, message }) => `warning: ${where}: ${message}`),
        previewText(report.preview),
      ];
      output.result(report, text.join('\n'));
    });
  return new Command('data').description('look at training data').addCommand(check);
}

const MAX_SHOWN_LABELS = 12;

function labelsText(labels: NonNullable<DataReport['labels']>): string {
  const shown = labels.slice(0, MAX_SHOWN_LABELS).map(({ label, examples }) => `${label} ${examples}`);
  const more = labels.length > MAX_SHOWN_LABELS ? ` and ${labels.length - MAX_SHOWN_LABELS} more` : '';
  return `${labels.length}: ${shown.join(', ')}${more}`;
}
