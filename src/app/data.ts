import type { Problem } from '../base/index.ts';
import { numVirtualTokens } from '../formats/index.ts';
import {
  describeOverlaps,
  findOverlaps,
  loadExamples,
  loadRunData,
  parametersOf,
  runWarnings,
  sourcesOf,
  type ObjectiveName,
  type OverlapReport,
  type RunConfig,
} from '../training/index.ts';
import { openChatRenderer } from '../text/index.ts';
import type { AppConfig } from './config.ts';
import { describeBase, resolveBase, type ModelProgress } from './bases.ts';
import { describeExamples, type DescribedExamples } from './data-preview.ts';
import { runConfig } from './runs/run-settings.ts';
import { checkOptions, fitAsked } from './runs/train.ts';
import type { TrainOptions } from './runs/train-options.ts';

export interface DataReport extends DescribedExamples {
  readonly file: string;
  readonly contextLength: number;
  readonly overlaps: OverlapReport;
  readonly warnings: readonly Problem[];
}

export interface CheckOptions {
  readonly file: string;
  readonly base: string;
  /** Examples to show. */
  readonly preview: number;
  /** Held-out examples, to be looked for in the file. */
  readonly valid?: string | undefined;
  readonly objective?: ObjectiveName | undefined;
}

/** Checks a training file in full, counts its tokens and what it repeats, and shows what would be learned. @throws DATA_INVALID lists every problem */
export async function checkData(
  config: AppConfig,
  options: CheckOptions,
  onProgress?: ModelProgress,
): Promise<DataReport> {
  const base = await resolveBase(config, options.base, onProgress);
  const renderer = openChatRenderer(base.open.path);
  const { contextLength } = describeBase(base).config;
  const loaded = loadExamples(options.file, renderer, contextLength, options.objective);
  const valid =
    options.valid === undefined
      ? undefined
      : loadExamples(options.valid, renderer, contextLength, options.objective, loaded.labels);
  const overlaps = findOverlaps(loaded, valid, renderer.tokenizer);
  const repeated = describeOverlaps(overlaps).map((message) => ({ where: 'data', message }));
  return {
    file: options.file,
    contextLength,
    ...describeExamples(loaded, renderer, options.preview),
    overlaps,
    warnings: [...loaded.warnings, ...(valid?.warnings ?? []), ...repeated],
  };
}

/** What a run would do, from all of its data and settings, without any training. */
export interface DryRun {
  readonly train: DescribedExamples;
  readonly validExamples: number;
  readonly overlaps: OverlapReport;
  readonly warnings: readonly Problem[];
  readonly trainableParameters: number;
  /** Every setting, defaults filled in. */
  readonly config: RunConfig;
}

/** Everything that `train` does before it computes: all checks of data and settings. @throws what it would */
export async function dryRun(
  config: AppConfig,
  options: TrainOptions & { readonly preview: number },
  onProgress?: ModelProgress,
): Promise<DryRun> {
  const { format } = checkOptions(options);
  const base = await resolveBase(config, options.base, onProgress);
  const described = describeBase(base);
  const settings = runConfig(options, base, fitAsked(config, options, base, format));
  const renderer = openChatRenderer(base.open.path);
  const data = loadRunData(
    sourcesOf(settings, options.data, options.valid),
    renderer,
    described.config.contextLength - numVirtualTokens(settings.adapter),
  );
  const parameters = parametersOf(settings, described);
  return {
    train: describeExamples(data.train, renderer, options.preview),
    validExamples: data.valid?.examples.length ?? 0,
    overlaps: data.overlaps,
    warnings: runWarnings(settings.adapter, described, data, renderer.tokenizer),
    trainableParameters: parameters.reduce(
      (sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1),
      0,
    ),
    config: settings,
  };
}
