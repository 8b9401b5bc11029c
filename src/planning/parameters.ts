import { linearSites } from '../model/index.ts';
import type { LinearSite, ModelConfig } from '../model/index.ts';

/** A decoder's parameters by part. A tied head is the embedding table and counts once, there. */
export interface ParameterCount {
  readonly embedding: number;
  readonly attention: number;
  readonly mlp: number;
  /** Biases of q, k and v. */
  readonly biases: number;
  readonly norms: number;
  readonly head: number;
  readonly total: number;
  /** The linear layers inside the blocks: what quantised formats apply to. */
  readonly linear: number;
}

const ATTENTION_ROLES: ReadonlySet<string> = new Set(['q_proj', 'k_proj', 'v_proj', 'o_proj']);

/** Exact counts: they equal the sum of the sizes of the tensors in the model's files. */
export function countParameters(config: ModelConfig): ParameterCount {
  const { hiddenSize: D, numLayers: L, headWidth: E } = config;
  const sum = (sites: readonly LinearSite[]): number => sites.reduce((total, site) => total + site.in * site.out, 0);
  const sites = linearSites(config);
  const attention = sum(sites.filter((site) => ATTENTION_ROLES.has(site.role)));
  const mlp = sum(sites) - attention;
  const embedding = config.vocabSize * D;
  const head = config.tieEmbeddings ? 0 : config.vocabSize * D;
  const biases = sites.reduce((total, { hasBias, out }) => total + (hasBias ? out : 0), 0);
  const norms = L * (2 * D + (config.queryKeyNorm ? 2 * E : 0)) + D;
  const linear = attention + mlp;
  return { embedding, attention, mlp, biases, norms, head, linear, total: embedding + linear + biases + norms + head };
}
