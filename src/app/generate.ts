import type { WeightFormat } from '../numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from '../serving/index.ts';
import type { ChatMessage } from '../text/index.ts';
import { answerAll } from './batch-answers.ts';
import type { ModelProgress } from './bases.ts';
import type { AppConfig } from './config.ts';
import { openModel } from './models.ts';

export interface GenerateOptions {
  readonly base: string;
  readonly adapter?: string | undefined;
  /** How the base's weights are held in memory; bf16 unless told. */
  readonly format?: WeightFormat | undefined;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
}

export interface Generated {
  readonly text: string;
  readonly promptTokens: number;
  readonly adapter: string | null;
}

/** One answer, without a server. */
export async function generateText(
  config: AppConfig,
  options: GenerateOptions,
  onModelProgress?: ModelProgress,
): Promise<Generated> {
  const { base, renderer, adapter } = await openModel(config, options, onModelProgress);
  const tokenIds = renderer.renderPrompt(options.messages);
  const { maxTokens, temperature, topP, seed } = options;
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxSequences: 1, cacheTokens: tokenIds.length + maxTokens });
  const [text] = answerAll(engine, renderer.tokenizer, [{ tokenIds, adapter }], {
    maxTokens,
    sampling: { temperature, topP, seed },
  });
  return { text, promptTokens: tokenIds.length, adapter: options.adapter ?? null };
}
