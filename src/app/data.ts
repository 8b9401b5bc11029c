import { weightSpans } from '../text/index.ts';
import { loadExamples } from '../training/index.ts';
import { openChatRenderer } from '../text/index.ts';
import { openSource } from '../model/index.ts';
import type { Problem } from '../base/index.ts';
import type { AppConfig } from './config.ts';
import { resolveBase, type ModelProgress } from './bases.ts';

/** A piece of an example as the model will see it. */
export interface PreviewSpan {
  readonly text: string;
  /** 0: given, not learned. */
  readonly weight: number;
}

export interface DataReport {
  readonly file: string;
  readonly examples: number;
  readonly tokens: number;
  readonly learnedTokens: number;
  readonly contextLength: number;
  /** Tokens of an example: the middle one, the 95th of 100, the longest. */
  readonly lengths: { readonly p50: number; readonly p95: number; readonly max: number };
  readonly warnings: readonly Problem[];
  /** The first examples, cut where learned and given tokens meet. */
  readonly preview: readonly { readonly line: number; readonly spans: readonly PreviewSpan[] }[];
}

/** Checks a training file in full, counts its tokens, and shows what would be learned. @throws DATA_INVALID lists every problem */
export async function checkData(
  config: AppConfig,
  options: { readonly file: string; readonly base: string; readonly preview: number },
  onProgress?: ModelProgress,
): Promise<DataReport> {
  const base = await resolveBase(config, options.base, onProgress);
  const renderer = openChatRenderer(base.open.path);
  const source = openSource(base.open.path);
  const { contextLength } = source.config;
  source.close();
  const loaded = loadExamples(options.file, renderer, contextLength);
  const lengths = loaded.examples.map(({ tokenIds }) => tokenIds.length).toSorted((a, b) => a - b);
  const at = (share: number): number => lengths[Math.min(lengths.length - 1, Math.floor(share * lengths.length))];
  return {
    file: options.file,
    examples: loaded.examples.length,
    tokens: loaded.numTokens,
    learnedTokens: loaded.numTargets,
    contextLength,
    lengths: { p50: at(0.5), p95: at(0.95), max: at(1) },
    warnings: loaded.warnings,
    preview: loaded.examples.slice(0, options.preview).map((example, index) => ({
      line: loaded.lines[index],
      spans: weightSpans(example).map(({ start, end, weight }) => ({
        text: renderer.tokenizer.decode(example.tokenIds.subarray(start, end), { skipSpecial: false }),
        weight,
      })),
    })),
  };
}
