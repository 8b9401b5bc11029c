import {
  attendPacked,
  baseHooks,
  forward,
  headRows,
  logitsAt,
  type BaseModel,
  type SiteHooks,
} from '../../src/model/index.ts';
import { BufferPool, Inference, type Floats, type Tensor } from '../../src/numeric/index.ts';
import { packExamples } from '../../src/training/pack.ts';
import { withVirtualRows } from '../../src/training/virtual-rows.ts';

/** Logits of every position of each sequence, all sequences packed into one forward pass. */
export function forwardLogits(
  base: BaseModel,
  sequences: readonly (readonly number[])[],
  hooks: SiteHooks = baseHooks,
): Floats[] {
  const g = inference(base);
  const logits = logitsAt(g, base, packedRows(g, base, sequences, hooks), hooks);
  const { vocabSize: V } = base.config;
  let begin = 0;
  return sequences.map(({ length }) => {
    const values = logits.data.slice(begin, begin + length * V);
    begin += length * V;
    return values;
  });
}

/** The normalised final hidden states of one sequence, [T, D]. */
export function forwardHidden(base: BaseModel, tokenIds: readonly number[], hooks: SiteHooks = baseHooks): Floats {
  return packedRows(inference(base), base, [tokenIds], hooks).data.slice();
}

function inference({ kernels }: BaseModel): Inference {
  return new Inference(kernels, new BufferPool(kernels.name === 'reference' ? 'f64' : 'f32'));
}

/** The head's input at every token of the sequences. */
function packedRows(
  g: Inference,
  base: BaseModel,
  sequences: readonly (readonly number[])[],
  hooks: SiteHooks,
): Tensor {
  const packed = packExamples(
    sequences.map((ids) => ({ tokenIds: Int32Array.from(ids), lossWeights: new Float32Array(ids.length) })),
  );
  const batch = withVirtualRows(
    { ...packed, lossRows_N: Int32Array.from(packed.tokenIds_T.keys()) },
    hooks.numVirtual ?? 0,
  );
  const { tokenIds_T, positions_T, lossRows_N } = batch;
  const attend = attendPacked(base.config, batch.segmentStarts_X);
  return headRows(g, base, forward(g, base, { tokenIds_T, positions_T, attend }, hooks), lossRows_N, hooks);
}
