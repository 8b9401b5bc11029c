/** What stands before every version of a task: the adapter fits the base, it has an effect, and it gives in a batch what an independent pass gives. */
import { compileAdapter, probeAdapter, readArtefact, type Adapter } from '../../adapters/index.ts';
import { openBase, type BaseModel, type OpenBaseOptions } from '../../model/index.ts';
import { loadNativeKernels } from '../../numeric/index.ts';
import { probeRows } from './row-probe.ts';

/** What a version keeps of its proof. */
export interface ProofFigures {
  /** Of the linear layers' logits, relative. */
  readonly parityError?: number;
  readonly changeOfLogits?: number;
  /** Of virtual tokens, trained tokens, norms and heads. */
  readonly rowParityError?: number;
}

export interface ProvenFolder {
  readonly adapter: Adapter;
  readonly parameters: number;
  readonly figures: ProofFigures;
}

/** @throws ADAPTER_INVALID with what differs */
export function proveFolder(base: BaseModel, folder: string): ProvenFolder {
  const adapter = readArtefact(folder, base);
  const { parity } = probeAdapter(base, adapter);
  const rows = probeRows(base, compileAdapter(adapter, base));
  let parameters = 0;
  for (const { data } of adapter.tensors.values()) parameters += data.length;
  const figures: ProofFigures = {
    ...(parity && { parityError: parity.error, changeOfLogits: parity.change }),
    ...(rows && { rowParityError: rows.error }),
  };
  return { adapter, parameters, figures };
}

/** As the base is held, but with products in float32: what others round is as large as a mistake that the proof is to find. */
export function openForProof(
  { threads }: { readonly threads: number | undefined },
  { open }: { readonly open: OpenBaseOptions },
): BaseModel {
  const kernels = loadNativeKernels(threads === undefined ? {} : { threads });
  return openBase({ ...open, computeDtype: 'f32' }, kernels);
}
