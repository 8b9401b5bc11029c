import { Command, Option } from 'commander';
import {
  benchLoad,
  benchServe,
  LOAD_CASES,
  parseTargets,
  POPULARITIES,
  type AppConfig,
  type LoadCase,
  type ServeCase,
  type WeightFormat,
} from '../../app/index.ts';
import { modelProgress } from '../model-progress.ts';
import { listOf, positiveInteger, weightsOption } from '../options.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';

interface ServingFlags extends OutputOptions {
  readonly base: string;
  readonly rank: number;
  readonly targets: string;
  readonly adapters: number;
  readonly requests: number;
}

/** `bench serve`: what adapters cost when nothing else happens. */
export function benchServeCommand(config: AppConfig): Command {
  return common('serve', 'requests for a mix of adapters, all at once, on an engine of this process', 64)
    .addOption(listOption('--popularity <list>', POPULARITIES, ['none', 'identical', 'distinct']))
    .addOption(weightsOption())
    .option('--prompt-tokens <n>', 'tokens of each prompt', positiveInteger, 64)
    .option('--new-tokens <n>', 'tokens generated for each', positiveInteger, 64)
    .option('--repetitions <n>', 'measured repetitions, after one to warm up', positiveInteger, 3)
    .addHelpText('after', '\nExample:\n  espalier bench serve --popularity none,distinct,zipf --adapters 64 --json')
    .action(
      async (
        options: ServingFlags & {
          popularity: (typeof POPULARITIES)[number][];
          format: WeightFormat;
          promptTokens: number;
          newTokens: number;
          repetitions: number;
        },
      ) => {
        const output = new Output(options);
        const progress = output.progress('bench');
        const request = { ...options, popularities: options.popularity, targets: parseTargets(options.targets) };
        const cases = await benchServe(config, request, (...at) => progress.update(...at), modelProgress(output));
        progress.stop();
        output.result(cases, serveTable(cases));
      },
    );
}

/** `bench load`: what it costs when adapters come and go. */
export function benchLoadCommand(config: AppConfig): Command {
  return common('load', 'adapters that come and go while others decode, on a whole engine with its threads', 100)
    .addOption(listOption('--cases <list>', LOAD_CASES, LOAD_CASES))
    .option('--cycles <n>', 'loads and unloads of the case cycles', positiveInteger, 1000)
    .addHelpText('after', '\nExample:\n  espalier bench load --cases cycles --cycles 10000')
    .action(async (options: ServingFlags & { cases: (typeof LOAD_CASES)[number][]; cycles: number }) => {
      const output = new Output(options);
      const progress = output.progress('bench');
      const request = { ...options, targets: parseTargets(options.targets) };
      const cases = await benchLoad(config, request, (...at) => progress.update(...at), modelProgress(output));
      progress.stop();
      output.result(cases, loadTable(cases));
    });
}

function common(name: string, description: string, adapters: number): Command {
  return new Command(name)
    .description(description)
    .option('--base <name>', 'base model', 'smollm2-135m-instruct')
    .option('--adapters <n>', 'adapters that there are', positiveInteger, adapters)
    .option('--rank <n>', 'their rank', positiveInteger, 8)
    .option('--targets <which>', 'as for train', 'attention')
    .option('--requests <n>', 'requests at once', positiveInteger, 64)
    .option('--json', 'print one JSON document');
}

function listOption<Name extends string>(flags: string, names: readonly Name[], unlessTold: readonly Name[]): Option {
  return new Option(flags, names.join(', ')).argParser(listOf(names)).default([...unlessTold], unlessTold.join(','));
}

function serveTable(cases: readonly ServeCase[]): string {
  const milliseconds = ({ p50, p99 }: ServeCase['perTokenMs']): string => `${p50.toFixed(1)} / ${p99.toFixed(1)}`;
  const rows = cases.map((one) => [
    one.popularity,
    one.numAdapters,
    Math.round(one.outputTokensPerSecond),
    milliseconds(one.firstTokenMs),
    milliseconds(one.perTokenMs),
    one.adapterTax === null ? '' : `${(100 * one.adapterTax).toFixed(1)} %`,
    formatBytes(one.peakMemoryBytes),
  ]);
  const head = [
    'popularity',
    'adapters',
    'tokens/s',
    'first token ms p50/p99',
    'per token ms p50/p99',
    'tax',
    'peak memory',
  ];
  return table([head, ...rows]);
}

function loadTable(cases: readonly LoadCase[]): string {
  const rows = cases.flatMap((one) =>
    Object.entries(one.figures).map(([name, value]) => [
      one.case,
      name,
      name.toLowerCase().includes('bytes') ? formatBytes(value) : Number.isInteger(value) ? value : value.toFixed(3),
    ]),
  );
  return table([['case', 'figure', 'value'], ...rows]);
}
