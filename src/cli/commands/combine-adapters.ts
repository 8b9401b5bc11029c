import { Command, InvalidArgumentError, Option } from 'commander';
import {
  COMBINATIONS,
  combineToAdapter,
  convertAdapter,
  mergeIntoBase,
  MODEL_DTYPES,
  prunes,
  WEIGHT_FORMATS,
  type AppConfig,
  type Combination,
  type ConvertedAdapter,
  type MajoritySign,
  type ModelDtype,
  type WeightFormat,
  type WrittenAdapter,
} from '../../app/index.ts';
import { fail } from '../../base/index.ts';
import { modelProgress } from '../model-progress.ts';
import { oneOf, positiveInteger, share, wholeNumber } from '../options.ts';
import { formatBytes, Output, table, type OutputOptions } from '../output.ts';
import { Pace } from '../pace.ts';

interface NewAdapterFlags extends OutputOptions {
  readonly base?: string;
  readonly format?: WeightFormat;
  readonly output: string;
  readonly publish?: string;
}

export function convertCommand(config: AppConfig): Command {
  return newAdapter('convert', 'write an adapter of any method that changes linear layers as LoRA, with the error')
    .argument('<adapter>', 'TENANT/TASK[@VERSION], sha256:… or a PEFT folder')
    .option('--rank <n>', 'rank of every module', positiveInteger)
    .option('--energy <share>', 'instead: in every module the lowest rank that keeps this share of Σ s²', share)
    .addHelpText(
      'after',
      `
Examples:
  espalier adapters convert acme/triage --rank 16 --output triage-lora
  espalier adapters convert ./my-oft --base smollm2-135m-instruct --energy 0.99 --output my-lora --publish acme/triage`,
    )
    .action(async (reference: string, options: NewAdapterFlags & { rank?: number; energy?: number }) => {
      const { rank, energy } = options;
      if ((rank === undefined) === (energy === undefined)) fail('USAGE_INVALID', 'give either --rank or --energy');
      const size = rank === undefined ? { energy: energy ?? 1 } : { rank };
      const output = new Output(options);
      const progress = output.progress('converting');
      const pace = new Pace();
      try {
        const converted = await convertAdapter(
          config,
          { ...options, reference, size },
          modelProgress(output),
          (done, total) => progress.update(done, total, pace.note(done, total, 'layers')),
        );
        progress.stop();
        output.result(converted, convertedText(converted));
      } finally {
        progress.stop();
      }
    });
}

function convertedText(converted: ConvertedAdapter): string {
  const rows = converted.modules.map(({ path, rank, norm, error }) => [
    path,
    String(rank),
    norm.toPrecision(3),
    percent(error),
  ]);
  return [
    table([['module', 'rank', '‖ΔW‖', 'error'], ...rows]),
    `error in all ${percent(converted.error)} of ‖ΔW‖`,
    writtenText(converted),
  ].join('\n');
}

const percent = (value: number): string => `${(100 * value).toPrecision(3)} %`;

function writtenText({ output, adapter, rank, sizeBytes, digest }: WrittenAdapter): string {
  const what = `${output}: LoRA of rank ${rank}, ${formatBytes(sizeBytes)}`;
  return adapter === null ? what : `${what}\npublished ${adapter} (${digest})`;
}

interface MergeFlags extends NewAdapterFlags {
  readonly intoBase: boolean;
  readonly dtype?: ModelDtype;
  readonly type?: Combination;
  readonly weights?: readonly number[];
  readonly rank?: number;
  readonly density?: number;
  readonly majoritySign?: MajoritySign;
  readonly seed?: number;
}

/** Options of one way to merge, by their names in {@link MergeFlags}. */
const OF_BASE = ['dtype'] as const;
const OF_ADAPTERS = ['type', 'weights', 'rank', 'density', 'majoritySign', 'seed', 'publish'] as const;

export function mergeCommand(config: AppConfig): Command {
  return newAdapter('merge', 'merge adapters into one, or one adapter into its base')
    .argument('<adapters...>', 'TENANT/TASK[@VERSION], sha256:… or PEFT folders')
    .option('--into-base', 'write the base with the adapter in it, as a Hugging Face folder', false)
    .addOption(
      new Option('--dtype <name>', `with --into-base: ${MODEL_DTYPES.join(' or ')} (default: f32)`).argParser(
        oneOf(MODEL_DTYPES),
      ),
    )
    .addOption(
      new Option('--type <name>', `how adapters become one: ${COMBINATIONS.join(', ')} (default: svd)`).argParser(
        oneOf(COMBINATIONS),
      ),
    )
    .option('--weights <list>', 'a number for each adapter, with commas between (default: 1 for each)', numbers)
    .option('--rank <n>', 'of what …svd gives (default: the highest of the adapters)', positiveInteger)
    .option('--density <share>', 'share of the values that ties, dare_… and magnitude_prune… keep', share)
    .addOption(
      new Option('--majority-sign <name>', 'of ties…: by total or frequency (default: total)').argParser(
        oneOf(['total', 'frequency'] as const),
      ),
    )
    .option('--seed <n>', "of dare's coins (default: 0)", wholeNumber)
    .addHelpText(
      'after',
      `
Examples:
  espalier adapters merge acme/triage acme/tone --weights 0.7,0.3 --output both --publish acme/triage
  espalier adapters merge acme/triage acme/tone --type ties_svd --density 0.5 --rank 16 --output both
  espalier adapters merge acme/triage --into-base --output merged
  espalier models import merged --name triage-model`,
    )
    .action(async (references: string[], options: MergeFlags) => {
      const output = new Output(options);
      refuseForeign(options);
      if (options.intoBase) {
        const [reference, second] = references;
        if (second !== undefined) fail('USAGE_INVALID', '--into-base takes one adapter: merge them into one first');
        const { dtype = 'f32' } = options;
        const merged = await mergeIntoBase(config, { ...options, reference, dtype }, modelProgress(output));
        const text = `${merged.output}: ${merged.base} in ${merged.dtype} with ${merged.numMerged} layers merged, ${formatBytes(merged.sizeBytes)}`;
        const onto = merged.format === 'f32' ? '' : ` (onto its weights in ${merged.format})`;
        output.result(merged, text + onto);
        return;
      }
      const { type = 'svd' } = options;
      if (prunes(type) && options.density === undefined) {
        fail('USAGE_INVALID', `--type ${type} keeps a share of the values: give it with --density`, {
          param: '--density',
        });
      }
      const written = await combineToAdapter(config, { ...options, references, type }, modelProgress(output));
      output.result(written, writtenText(written));
    });
}

function refuseForeign(options: MergeFlags): void {
  const foreign = options.intoBase ? OF_ADAPTERS : OF_BASE;
  const found = foreign.find((name) => options[name] !== undefined);
  if (found === undefined) return;
  const flag = `--${found.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  fail('USAGE_INVALID', `${flag} has no meaning ${options.intoBase ? 'with' : 'without'} --into-base: leave it out`, {
    param: flag,
  });
}

function newAdapter(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .requiredOption('--output <dir>', 'a folder that does not exist yet')
    .option('--base <name>', 'the base, needed where an adapter is a folder')
    .addOption(
      new Option(
        '--format <format>',
        `the base's weights: ${WEIGHT_FORMATS.join(', ')} (default: those of the training)`,
      ).argParser(oneOf(WEIGHT_FORMATS)),
    )
    .option('--publish <tenant/task>', 'publish the result in the registry')
    .option('--json', 'print one JSON document');
}

function numbers(text: string): number[] {
  return text.split(',').map((part) => {
    const value = Number(part);
    if (part.trim() === '' || !Number.isFinite(value))
      throw new InvalidArgumentError('expected numbers with commas between.');
    return value;
  });
}
