import { Command } from 'commander';
import { retrainAdapters, type AppConfig, type RetrainRow } from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import { modelProgress } from '../model-progress.ts';
import { Output, table, type OutputOptions } from '../output.ts';

interface Flags extends OutputOptions {
  readonly fromBase: string;
  readonly toBase: string;
  readonly all?: boolean;
  readonly dryRun: boolean;
  readonly promoteIfBetter: boolean;
}

export function retrainCommand(config: AppConfig): Command {
  return new Command('retrain')
    .description('train versions anew on another base, by the data and settings that they keep, and compare the scores')
    .argument('[names...]', 'TENANT/TASK: what each latest points at')
    .requiredOption('--from-base <name>', 'the base that they were trained on')
    .requiredOption('--to-base <name>', 'the base that they shall be of')
    .option('--all', 'every task that is answered by an adapter of the first base')
    .option('--dry-run', 'say what would be trained', false)
    .option('--promote-if-better', 'make latest each that scores no worse, if its gate lets it', false)
    .option('--json', 'print one JSON document')
    .action(async (names: string[], flags: Flags) => {
      if ((names.length === 0) !== (flags.all === true)) fail('USAGE_INVALID', 'name tasks, or give --all');
      const output = new Output(flags);
      const { fromBase, toBase, dryRun: isDryRun, promoteIfBetter: promotesIfBetter } = flags;
      const targets = flags.all === true ? undefined : names;
      const rows = await retrainAdapters(
        config,
        { fromBase, toBase, targets, isDryRun, promotesIfBetter },
        {
          onModelProgress: modelProgress(output),
          onVersion: ({ tenant, task, version }, index, total) =>
            output.line(`${index + 1} of ${total}: ${tenant}/${task}@${version}`),
        },
      );
      output.result(rows, textOf(rows));
      if (!isDryRun && rows.some(({ to }) => to === null)) process.exitCode = 1;
    });
}

function textOf(rows: readonly RetrainRow[]): string {
  const figure = (value: number | null): string => (value === null ? '-' : value.toFixed(4));
  const verdict = ({ isBetter, isPromoted, problem }: RetrainRow): string => {
    const told = isPromoted ? 'promoted' : isBetter === null ? '-' : isBetter ? 'no worse' : 'worse';
    return problem === null ? told : `${told}: ${problem}`;
  };
  return table([
    ['adapter', 'successor', 'score', 'old', 'new', ''],
    ...rows.map((row) => [
      row.from,
      row.to ?? '-',
      row.metric ?? '-',
      figure(row.before),
      figure(row.after),
      verdict(row),
    ]),
  ]);
}
