import type { HfConfig } from '../hf-config.ts';
import type { LinearRole } from '../sites.ts';

/** Where `attention_bias` of config.json says so, in Transformers' Llama and Qwen3. */
export const ATTENTION_ROLES: readonly LinearRole[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];

/**
 * What distinguishes one family of decoders from the others. Everything shared (RMSNorm, RoPE, grouped-query attention, SwiGLU) is in
 * forward.ts; a new family of that kind is one file like llama.ts and one line in index.ts.
 */
export interface Family {
  readonly name: string;
  /** Of config.json's `architectures`: the class of Transformers. */
  readonly architecture: string;
  /** `model_type` values of config.json; the first is the canonical one. */
  readonly modelTypes: readonly [string, ...string[]];
  /** `general.architecture` values of GGUF files. */
  readonly ggufArchitectures: readonly string[];
  /** GGUF files of this architecture store the rows of q and k for pairwise rotation: they must be put back in halves. */
  readonly ggufPermutesQueryKey: boolean;
  /** The layers that have biases. */
  biasedRoles(config: Pick<HfConfig, 'attention_bias'>): readonly LinearRole[];
  readonly queryKeyNorm: boolean;
}
