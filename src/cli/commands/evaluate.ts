import { Command } from 'commander';
import { evaluateFile, METRICS, type AppConfig, type EvaluateOptions, type EvaluateReport } from '../../app/index.ts';
import { modelProgress } from '../model-progress.ts';
import { oneOf, positiveInteger, weightsOption } from '../options.ts';
import { Output, table, type OutputOptions } from '../output.ts';
import { Pace } from '../pace.ts';

export function evaluateCommand(config: AppConfig): Command {
  return new Command('evaluate')
    .description('score the base or an adapter on held-out examples')
    .requiredOption('--base <name>', 'base model: a name, a folder or a .gguf file')
    .option('--adapter <ref>', 'TENANT/TASK[@VERSION], sha256:… or a PEFT folder; the base alone without it')
    .addOption(weightsOption())
    .requiredOption('--data <file>', 'examples; the last assistant message, or the label, of each is what is expected')
    .requiredOption('--metric <name>', METRICS.join(', '), oneOf(METRICS))
    .option('--max-tokens <n>', 'tokens of an answer, at most', positiveInteger, 128)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Examples:
  espalier evaluate --base smollm2-135m-instruct --data test.jsonl --metric accuracy
  espalier evaluate --base smollm2-135m-instruct --adapter acme/triage --data test.jsonl --metric accuracy
  espalier evaluate --base smollm2-135m-instruct --adapter acme/topics --data labelled.jsonl --metric macro-f1`,
    )
    .action(async (options: EvaluateOptions & OutputOptions) => {
      const output = new Output(options);
      const progress = output.progress('evaluating');
      const pace = new Pace();
      try {
        const report = await evaluateFile(config, options, {
          onModelProgress: modelProgress(output),
          onProgress: (numDone, total) => progress.update(numDone, total, pace.note(numDone, total, 'examples')),
        });
        progress.stop();
        const text = [
          table([
            ['metric', report.metric],
            ['value', report.value.toFixed(4)],
            ['examples', String(report.examples)],
            ['answered by', report.adapter ?? 'the base'],
          ]),
          ...classesText(report),
        ].join('\n');
        output.result(report, text);
      } finally {
        progress.stop();
      }
    });
}

/** Up to so many labels the confusions are shown as a table; of more, --json has them. */
const MAX_TABLE = 12;

/** How a classifier does on each label, and what it takes for what. */
function classesText({ classes, confusion }: EvaluateReport): string[] {
  if (!classes || !confusion) return [];
  const scores = table([
    ['label', 'precision', 'recall', 'F1', 'examples'],
    ...classes.map(({ label, precision, recall, f1, examples }) => [
      label,
      ...[precision, recall, f1].map((value) => value.toFixed(4)),
      String(examples),
    ]),
  ]);
  if (classes.length > MAX_TABLE) return ['', scores];
  const rows = confusion.map((row, index) => [classes[index].label, ...row.map(String)]);
  return ['', scores, '', table([['is, and was given', ...classes.map(({ label }) => label)], ...rows])];
}
