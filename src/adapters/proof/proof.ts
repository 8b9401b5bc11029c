import { fail, Rng, type Problem } from '../../base/index.ts';
import { attendPacked, forward, headRows, type BaseModel, type SiteHooks } from '../../model/index.ts';
import { BufferPool, compareToReference, Inference, type Floats, type WeightFormat } from '../../numeric/index.ts';
import { compileAdapter, type Adapter } from '../artefact.ts';
import { spanHooks, type CompiledAdapter } from '../primitives.ts';
import { inertModules, inertParts } from './effect.ts';
import { mergedHooks } from './merge.ts';

export interface ProofOptions {
  /** The digest of the base that the adapter was made for, where that is known. */
  readonly baseDigest?: string | undefined;
  /** Lets an adapter pass that changes nothing, such as one that was never trained. For tests. */
  readonly allowInert?: boolean | undefined;
}

/** What is known of an adapter that passed. */
export interface AdapterProof {
  readonly baseDigest: string;
  /** Linear layers that the adapter changes. */
  readonly numModules: number;
  /** Virtual tokens that stand before the prompt. */
  readonly numVirtualTokens: number;
  /** Tokens with trained embeddings. */
  readonly numTrainedTokens: number;
  /** Set by {@link probeAdapter} for an adapter that changes linear layers. */
  readonly parity?: ParityProbe | undefined;
}

/** The batched path against merged layers. */
export interface ParityProbe {
  /** ‖batched − merged‖ / ‖merged‖ of the logits of some tokens. */
  readonly error: number;
  readonly tolerance: number;
  /** ‖batched − base‖ / ‖base‖ of the same logits: how much the adapter changes. */
  readonly change: number;
}

/**
 * How far the two ways of computing may be apart, by the base's format. In float32 they differ by the order of their sums
 * (up to 4e-5 on a base of 30 layers), a mistake by far more. Kernels for
 * bfloat16, int8 and NF4 weights may round a layer's input too, which merged layers, float32 products of the same weights, do not.
 */
export const PARITY_TOLERANCES: Readonly<Record<WeightFormat, number>> = {
  f32: 1e-3,
  bf16: 2e-2,
  int8: 2e-2,
  nf4: 2e-2,
};

/** Rows of the probe: one sequence with the adapter, the same without. */
const PROBE_TOKENS = 6;
/** Paths that a message lists. */
const MAX_LISTED = 5;

/**
 * The checks that cost a pass over the adapter's own numbers: it was compiled for this base, and every module that it targets has an
 * effect. Cheap enough for every load.
 * @throws ADAPTER_INVALID names the modules without effect (LoRA whose B is zero: saved before it was trained), or both digests
 */
export function proveAdapter(base: BaseModel, compiled: CompiledAdapter, options: ProofOptions = {}): AdapterProof {
  const { baseDigest, allowInert = false } = options;
  if (baseDigest !== undefined && baseDigest !== base.digest) {
    fail('ADAPTER_INVALID', `the adapter was made for the base ${baseDigest}, this one is ${base.digest}`, {
      param: 'base',
    });
  }
  if (!allowInert) refuseInert(compiled, base);
  return {
    baseDigest: base.digest,
    numModules: compiled.sites.size,
    numVirtualTokens: compiled.virtual?.count ?? 0,
    numTrainedTokens: compiled.tokenRows?.ids.length ?? 0,
  };
}

/**
 * {@link proveAdapter}, and a parity probe: the logits of some tokens through the path that serves batches, with rows of the base beside
 * them, against a plain forward pass through merged layers. Costs two forward passes and one merge of every targeted layer: for
 * publication, not for every load. Virtual tokens and trained tokens are no linear layers and have no probe.
 * @throws ADAPTER_INVALID with both sides of what differs
 */
export function probeAdapter(base: BaseModel, adapter: Adapter, options: ProofOptions = {}): AdapterProof {
  const compiled = compileAdapter(adapter, base);
  const proof = proveAdapter(base, compiled, options);
  if (compiled.sites.size === 0) return proof;
  const rng = Rng.fromSeed(0, 'parity probe');
  const tokenIds = Array.from({ length: PROBE_TOKENS }, () => rng.nextBelow(base.config.vocabSize));
  const span = { begin: 0, end: PROBE_TOKENS, adapter: linearPartOf(compiled) };
  const [batched, unchanged] = logitsOf(base, [tokenIds, [...tokenIds]], spanHooks([span]));
  const [merged] = logitsOf(base, [tokenIds], mergedHooks(adapter, base));
  const tolerance = PARITY_TOLERANCES[base.format];
  const { passes, error, message } = compareToReference(batched, merged, tolerance);
  if (!passes) {
    fail('ADAPTER_INVALID', `the adapter's logits in a batch are not those of merged weights: ${message}`, {
      param: 'parity',
    });
  }
  const change = compareToReference(batched, unchanged, Infinity).error;
  if (change === 0 && !options.allowInert) {
    fail('ADAPTER_INVALID', 'the adapter changes no logit: it answers like the base', { param: 'effect' });
  }
  return { ...proof, parity: { error, tolerance, change } };
}

/** An adapter without what it changes outside of linear layers, which merged ones do not have. */
function linearPartOf({ sites, program, sizeBytes }: CompiledAdapter): CompiledAdapter {
  return { sites, program, sizeBytes };
}

function refuseInert(compiled: CompiledAdapter, base: BaseModel): void {
  const modules = inertModules(compiled);
  const problems: Problem[] = [
    ...modules.map((path) => ({ where: path, message: `the adapter changes nothing in ${path}` })),
    ...inertParts(compiled, base).map((message) => ({ where: 'adapter', message })),
  ];
  const [first] = problems;
  if (!first) return;
  const listed = problems.slice(0, MAX_LISTED).map(({ message }) => message);
  if (problems.length > MAX_LISTED) listed.push(`and ${problems.length - MAX_LISTED} more`);
  const count = modules.length > 0 ? ` (${modules.length} of ${compiled.sites.size} modules)` : '';
  fail(
    'ADAPTER_INVALID',
    `the adapter has no effect${count}: ${listed.join('; ')}. It was saved before it was trained, or parts of it were lost`,
    { param: first.where, problems },
  );
}

/** The logits of every token of each sequence, all in one pass. */
function logitsOf(base: BaseModel, sequences: readonly (readonly number[])[], hooks: SiteHooks): Floats[] {
  const g = new Inference(base.kernels, new BufferPool(base.kernels.name === 'reference' ? 'f64' : 'f32'));
  const T = PROBE_TOKENS;
  const numRows = sequences.length * T;
  const rows = Int32Array.from({ length: numRows }, (_, row) => row);
  const starts_T = rows.map((row) => row - (row % T));
  const input = {
    tokenIds_T: Int32Array.from(sequences.flat()),
    positions_T: rows.map((row) => row % T),
    attend: attendPacked(base.config, starts_T),
  };
  const last = headRows(g, base, forward(g, base, input, hooks), rows);
  const { vocabSize: V } = base.config;
  const logits = g.empty([numRows, V]);
  base.kernels.linearForward(logits.data, last.data, base.head, numRows, false);
  return sequences.map((_, index) => logits.data.slice(index * T * V, (index + 1) * T * V));
}
