import { assert } from '../../base/index.ts';
import type { Floats, FrozenMatrix } from '../kernels.ts';
import { valuesOf } from './frozen-matrix.ts';
import { requireLength } from './lengths.ts';

/** y_TD = rows of the table W_VD at tokenIds. The table is frozen: there is no backward. */
export function embeddingForward(y_TD: Floats, table: FrozenMatrix, tokenIds_T: Int32Array, T: number): void {
  const { out: V, in: D } = table;
  const w_VD = valuesOf(table);
  requireLength('y', y_TD, T * D);
  requireLength('tokenIds', tokenIds_T, T);
  for (let t = 0; t < T; t++) {
    const id = tokenIds_T[t];
    assert(id >= 0 && id < V, `token id ${id} of a vocabulary of ${V}`);
    for (let d = 0; d < D; d++) y_TD[t * D + d] = w_VD[id * D + d];
  }
}
