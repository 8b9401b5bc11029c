import { loraParameters, writeArtefact, type Adapter } from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import {
  CLASSIFICATION,
  CLASSIFIER_MODULES,
  defaultLoraConfig,
  parsePeftConfig,
  PROMPT_EMBEDDINGS,
  scoreName,
  type LoraConfig,
} from '../../src/formats/index.ts';
import type { LinearSite } from '../../src/model/index.ts';

export interface RandomAdapterOptions {
  readonly seed: number;
  readonly rank: number;
  readonly targets: readonly string[] | 'all-linear';
  /** Makes it a classifier with these labels. */
  readonly labels?: readonly string[] | undefined;
  /** What it is said to have been trained on. */
  readonly reads?: 'text' | 'messages' | undefined;
}

/** An adapter with random A and random, non-zero B: unlike one that is not trained yet, it changes every answer. */
export function randomAdapter(
  sites: readonly LinearSite[],
  { seed, rank, targets, labels, reads }: RandomAdapterOptions,
): Adapter {
  const target_modules = typeof targets === 'string' ? targets : [...targets];
  const config: LoraConfig = {
    ...defaultLoraConfig(),
    r: rank,
    lora_alpha: 2 * rank,
    target_modules,
    ...(labels && { task_type: CLASSIFICATION, modules_to_save: [...CLASSIFIER_MODULES] }),
  };
  const hiddenSize = sites.find(({ role }) => role === 'q_proj')?.in ?? 0;
  const parameters = [
    ...loraParameters(config, sites),
    ...(labels ? [{ name: scoreName(config), shape: [labels.length, hiddenSize] }] : []),
  ];
  const tensors = new Map(
    parameters.map(({ name, shape }) => {
      const rng = Rng.fromSeed(seed, name);
      const length = shape.reduce((product, size) => product * size, 1);
      return [name, { shape, data: Float32Array.from({ length }, () => 0.2 * rng.nextNormal()) }];
    }),
  );
  return { config, tensors, ...(labels && { classes: { labels, reads } }) };
}

/** Writes a PEFT folder of prompt tuning: so many virtual tokens with random embeddings. */
export function writePromptAdapter(folder: string, hiddenSize: number, count: number, seed: number): void {
  const json = { peft_type: 'PROMPT_TUNING', task_type: 'CAUSAL_LM', num_virtual_tokens: count, token_dim: hiddenSize };
  const rng = Rng.fromSeed(seed, PROMPT_EMBEDDINGS);
  const data = Float32Array.from({ length: count * hiddenSize }, () => rng.nextNormal());
  const tensors = new Map([[PROMPT_EMBEDDINGS, { shape: [count, hiddenSize], data }]]);
  writeArtefact(folder, { config: parsePeftConfig(json, folder), tensors }, 'sha256:any');
}

/** Writes {@link randomAdapter} as a PEFT folder. */
export function writeRandomAdapter(folder: string, sites: readonly LinearSite[], options: RandomAdapterOptions): void {
  writeArtefact(folder, randomAdapter(sites, options), 'sha256:any');
}
