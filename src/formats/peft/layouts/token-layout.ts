import type { Problem } from '../../../base/index.ts';
import type { TrainableTokensConfig } from '../configs/trainable-tokens-config.ts';
import {
  EMBEDDING_PATH,
  HEAD_PATH,
  tensorName,
  type AdapterBase,
  type ExpectedTensor,
  type TensorLayout,
} from './tensor-layout.ts';

/** Rows of trained tokens without another method, [K, D]. Called a delta, they replace the base's rows. */
export const TOKEN_ROWS = tensorName(EMBEDDING_PATH, 'trainable_tokens_delta');
/** PEFT saves the same rows once more for a head that is tied to the embedding. */
export const HEAD_TOKEN_ROWS = tensorName(HEAD_PATH, 'trainable_tokens_delta');

export function expectedTokenRows(name: string, numTokens: number, base: AdapterBase): ExpectedTensor {
  const { hiddenSize } = base.config;
  const whose = `embedding of ${hiddenSize} numbers a token and the config's ${numTokens} tokens`;
  return { name, shape: [numTokens, hiddenSize], whose };
}

/** Tokens that the base does not have: the vocabulary was enlarged before the training. */
export function tokenMisfits(field: string, ids: readonly number[], base: AdapterBase): Problem[] {
  const { vocabSize } = base.config;
  const unknown = ids.filter((id) => id >= vocabSize);
  if (unknown.length === 0) return [];
  const listed = unknown.slice(0, 10).join(', ');
  return [
    {
      where: field,
      message: `${field} has ${listed}, but the base's vocabulary has ${vocabSize} tokens: enlarged vocabularies are not supported yet`,
    },
  ];
}

export function tokenLayout({ token_indices: ids }: TrainableTokensConfig): TensorLayout {
  return {
    moduleOf(name) {
      if (name === HEAD_TOKEN_ROWS) return HEAD_PATH;
      return name === TOKEN_ROWS ? EMBEDDING_PATH : undefined;
    },
    expected(_targets, base) {
      const ofEmbedding = expectedTokenRows(TOKEN_ROWS, ids.length, base);
      if (!base.config.tieEmbeddings) return [ofEmbedding];
      return [ofEmbedding, { ...ofEmbedding, name: HEAD_TOKEN_ROWS, isOptional: true }];
    },
    misfits: (base) => tokenMisfits('token_indices', ids, base),
  };
}
