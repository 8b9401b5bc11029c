import { fail, type Problem } from '../base/index.ts';
import { idsOf } from '../formats/index.ts';
import type { LinearSite, ModelConfig } from '../model/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { LoadedExamples } from './example.ts';
import { trainedMethodOf, type TrainedConfig } from './full-model.ts';
import type { TokenExample } from './pack.ts';
import type { LoadedRunData } from './run-data.ts';

/** What a run's settings are held against. */
interface RunBase {
  readonly sites: readonly LinearSite[];
  readonly config: ModelConfig;
}

/**
 * What is to be said of a run before it computes: of its files, of settings that have no effect on this base, and of trained tokens that
 * the data do not have.
 * @throws DATA_INVALID when the data have none of the trained tokens
 */
export function runWarnings(
  adapter: TrainedConfig,
  base: RunBase,
  data: LoadedRunData,
  tokenizer: Pick<Tokenizer, 'tokenOf'>,
): Problem[] {
  const ofMethod = trainedMethodOf(adapter).warnings?.(base.sites, base.config) ?? [];
  return [
    ...data.warnings,
    ...ofMethod.map((message) => ({ where: 'settings', message })),
    ...missingTokens(adapter, base.config, data.train, tokenizer),
  ];
}

/** The tokens whose embeddings a run trains, by id. */
function trainedTokens(adapter: TrainedConfig): readonly number[] {
  if (adapter.peft_type === 'TRAINABLE_TOKENS') return adapter.token_indices;
  return adapter.peft_type === 'LORA' ? idsOf(adapter.trainable_token_indices) : [];
}

/** A warning for each trained token from which no example learns. */
function missingTokens(
  adapter: TrainedConfig,
  { vocabSize, tieEmbeddings }: ModelConfig,
  { examples }: LoadedExamples,
  tokenizer: Pick<Tokenizer, 'tokenOf'>,
): Problem[] {
  const ids = trainedTokens(adapter);
  // Ids that the base does not have are refused by the method.
  if (ids.length === 0 || ids.some((id) => id >= vocabSize)) return [];
  const learned = learnedTokens(examples, tieEmbeddings);
  const missing = ids.filter((id) => !learned.has(id));
  const name = (id: number): string => `${id} (${JSON.stringify(tokenizer.tokenOf(id) ?? '')})`;
  if (missing.length === ids.length) {
    const listed = ids.slice(0, 10).map(name).join(', ');
    const more = ids.length > 10 ? ` and ${ids.length - 10} more` : '';
    fail(
      'DATA_INVALID',
      `none of the trained tokens ${listed}${more} occurs in the ${examples.length} training examples where it could be learned: give tokens that the data have (--tokens), or data that have them`,
      { param: 'tokens', problems: missing.map((id) => ({ where: `token ${id}`, message: describe(name(id)) })) },
    );
  }
  return missing.map((id) => ({ where: 'tokens', message: describe(name(id)) }));
}

function describe(token: string): string {
  return `trained token ${token} occurs nowhere in the training data where it could be learned: nothing is learned of it`;
}

/** The ids that have a say in some loss: read before a token that is predicted, or, with a head tied to the embedding, predicted. */
function learnedTokens(examples: readonly TokenExample[], isHeadTied: boolean): ReadonlySet<number> {
  const learned = new Set<number>();
  for (const { tokenIds, lossWeights, ends = [tokenIds.length] } of examples) {
    let begin = 0;
    for (const end of ends) {
      // The first token of a sequence is never predicted.
      let last = end - 1;
      while (last > begin && lossWeights[last] === 0) last--;
      for (let i = begin; i < last; i++) learned.add(tokenIds[i]);
      if (isHeadTied && last > begin) learned.add(tokenIds[last]);
      begin = end;
    }
  }
  return learned;
}
