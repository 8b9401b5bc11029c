import { fail } from '../../base/index.ts';
import { HEAD_TOKEN_ROWS, TOKEN_ROWS, type TrainableTokensConfig } from '../../formats/index.ts';
import type { BaseModel } from '../../model/index.ts';
import type { Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { requireTensor, type Method } from '../method.ts';
import type { TokenRows } from '../primitives.ts';

/** Trained tokens as PEFT has them: whole rows that stand in place of the embedding's, and of the head's where that is the same matrix. */
export const trainableTokens: Method<TrainableTokensConfig> = {
  name: 'trainable-tokens',
  peftType: 'TRAINABLE_TOKENS',

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
