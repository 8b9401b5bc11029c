import { attendPacked, baseHooks, forward, headRows, type BaseModel, type SiteHooks } from '../../src/model/index.ts';
import { BufferPool, Inference, type Floats } from '../../src/numeric/index.ts';

/** Logits of every position of each sequence, all sequences packed into one forward pass. */
export function forwardLogits(
  base: BaseModel,
  sequences: readonly (readonly number[])[],
  hooks: SiteHooks = baseHooks,
): Floats[] {
  const g = new Inference(base.kernels, new BufferPool(base.kernels.name === 'reference' ? 'f64' : 'f32'));
  const tokenIds_T = Int32Array.from(sequences.flat());
  const positions_T = Int32Array.from(sequences.flatMap((ids) => ids.map((_, position) => position)));
  const starts: number[] = [];
  for (const ids of sequences) starts.push(...ids.map(() => tokenIdsBefore(sequences, ids)));
  const attend = attendPacked(base.config, Int32Array.from(starts));
  const hidden = forward(g, base, { tokenIds_T, positions_T, attend }, hooks);
  const rows = headRows(g, base, hidden, Int32Array.from(tokenIds_T.keys()));
  const { vocabSize: V } = base.config;
  const logits = g.empty([tokenIds_T.length, V]);
  base.kernels.linearForward(logits.data, rows.data, base.head, tokenIds_T.length, false);
  return sequences.map((ids) => {
    const begin = tokenIdsBefore(sequences, ids) * V;
    return logits.data.slice(begin, begin + ids.length * V);
  });
}

/** The normalised final hidden states of one sequence, [T, D]. */
export function forwardHidden(base: BaseModel, tokenIds: readonly number[], hooks: SiteHooks = baseHooks): Floats {
  const g = new Inference(base.kernels, new BufferPool(base.kernels.name === 'reference' ? 'f64' : 'f32'));
  const positions_T = Int32Array.from(tokenIds.keys());
  const attend = attendPacked(base.config, new Int32Array(tokenIds.length));
  const hidden = forward(g, base, { tokenIds_T: Int32Array.from(tokenIds), positions_T, attend }, hooks);
  return headRows(g, base, hidden, positions_T).data.slice();
}

function tokenIdsBefore(sequences: readonly (readonly number[])[], wanted: readonly number[]): number {
  let before = 0;
  for (const ids of sequences) {
    if (ids === wanted) return before;
    before += ids.length;
  }
  throw new Error('not one of the sequences');
}
