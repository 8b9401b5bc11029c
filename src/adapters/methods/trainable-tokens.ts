import { fail } from '../../base/index.ts';
import { HEAD_TOKEN_ROWS, TOKEN_ROWS, type TrainableTokensConfig } from '../../formats/index.ts';
import { baseHooks, type BaseModel, type ModelConfig } from '../../model/index.ts';
import type { Floats, Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { requireTensor, type TrainableMethod } from '../method.ts';
import type { TokenRows } from '../primitives.ts';
import { tokenHooks } from './base-parts.ts';

/** Trained tokens as PEFT has them: whole rows that stand in place of the embedding's, and of the head's where that is the same matrix. */
export const trainableTokens: TrainableMethod<TrainableTokensConfig> = {
  name: 'trainable-tokens',
  peftType: 'TRAINABLE_TOKENS',
  sharesProduct: true,

  parameters({ token_indices: ids }, _sites, model) {
    refuseUnknownTokens(ids, model);
    return [{ name: TOKEN_ROWS, shape: [ids.length, model.hiddenSize] }];
  },

  /** The base's rows: a new adapter changes nothing. Without `init_weights` N(0, 1). */
  initialise({ token_indices: ids, init_weights }, _parameter, values, rng, base) {
    if (init_weights) initialiseTokenRows(ids, values, base);
    else for (let i = 0; i < values.length; i++) values[i] = rng.nextNormal();
  },

  bind: ({ token_indices: ids }, base, tensors) => ({
    ...baseHooks,
    ...tokenHooks(ids, requireTensor(tensors, TOKEN_ROWS), base),
  }),

  /** PEFT saves the rows once more for a head that is tied to the embedding. */
  fold(_config, base, tensors) {
    const rows = requireTensor(tensors, TOKEN_ROWS);
    return new Map([[TOKEN_ROWS, rows], ...(base.config.tieEmbeddings ? [[HEAD_TOKEN_ROWS, rows] as const] : [])]);
  },

  compile(config, base, tensors) {
    const rows = requireTensor(tensors, TOKEN_ROWS);
    const ofHead = tensors.get(HEAD_TOKEN_ROWS);
    if (ofHead && !ofHead.data.every((value, i) => value === rows.data[i])) {
      fail(
        'ADAPTER_INVALID',
        `tensor ${HEAD_TOKEN_ROWS} differs from ${TOKEN_ROWS}, but the head is tied to the embedding`,
        {
          param: HEAD_TOKEN_ROWS,
        },
      );
    }
    return assembleAdapter({ sites: new Map(), tokenRows: compileTokenRows(config.token_indices, rows, base) });
  },
};

/** The embedding's rows of `ids`. */
export function initialiseTokenRows(ids: readonly number[], values: Floats, base: BaseModel): void {
  base.kernels.embeddingForward(values, base.embedding, Int32Array.from(ids), ids.length);
}

/** @throws CONFIG_INVALID for a token that the base does not have */
export function refuseUnknownTokens(ids: readonly number[], { vocabSize }: ModelConfig): void {
  const unknown = ids.find((id) => id >= vocabSize);
  if (unknown !== undefined) {
    fail('CONFIG_INVALID', `token ${unknown} cannot be trained: the base's vocabulary has ${vocabSize} tokens`, {
      param: 'token_indices',
    });
  }
}

/** Rows [K, D] for `ids`, sorted by id. */
export function compileTokenRows(ids: readonly number[], rows_KD: Tensor, base: BaseModel): TokenRows {
  const D = base.config.hiddenSize;
  const order = [...ids.keys()].sort((a, b) => ids[a] - ids[b]);
  const data = rows_KD.data.slice();
  for (const [k, from] of order.entries()) data.set(rows_KD.data.subarray(from * D, (from + 1) * D), k * D);
  return {
    ids: Int32Array.from(order, (from) => ids[from]),
    rows_KD: { shape: [ids.length, D], data },
    isHeadTied: base.config.tieEmbeddings,
  };
}
