import { assert } from '../base/index.ts';
import type { Graph, LogitsHead, Tensor } from '../numeric/index.ts';
import type { ModelConfig } from './config.ts';

export const LINEAR_ROLES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export type LinearRole = (typeof LINEAR_ROLES)[number];

/** A named linear layer of the base, where an adapter may be applied from outside. */
export interface LinearSite {
  /** Hugging Face's module path, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly layer: number;
  readonly role: LinearRole;
  readonly in: number;
  readonly out: number;
  /** The base's layer has a bias. */
  readonly hasBias: boolean;
}

const NORM_ROLES = ['input_layernorm', 'post_attention_layernorm', 'q_norm', 'k_norm', 'norm'] as const;
export type NormRole = (typeof NORM_ROLES)[number];

/** A normalisation of the base by Hugging Face's module path, e.g. `model.layers.0.input_layernorm`. */
export interface NormSite {
  readonly path: string;
  readonly role: NormRole;
  /** Numbers of its gain. */
  readonly width: number;
}

/** What is known of the rows of a forward pass. */
export interface InputRows {
  readonly tokenIds_T: Int32Array;
  /** From 0 in each sequence; virtual tokens count. */
  readonly positions_T: Int32Array;
}

/**
 * How something from outside (an adapter, a batch of many adapters) takes part in a forward pass. `base` computes the frozen layer
 * on the input it is given, so a hook can change the input, the output, or both. The model knows nothing of adapters.
 */
export interface SiteHooks {
  linear(g: Graph, site: LinearSite, x: Tensor, base: (x: Tensor) => Tensor): Tensor;
  /**
   * Virtual tokens: whoever lays out a batch for these hooks puts so many rows before each sequence, at positions 0..numVirtual, whatever
   * their ids. None when missing.
   */
  readonly numVirtual?: number;
  /** Changes embeddings [T, D] in place. */
  embed?(g: Graph, rows: InputRows, x: Tensor): void;
  /** Changes a layer's rotated keys and its values, both [T, G·E], in place, before attention reads them. */
  keyValues?(g: Graph, layer: number, rows: InputRows, k: Tensor, v: Tensor): void;
  /**
   * A normalisation of x; `base` is the frozen one, or the same with another gain.
   * @param packedRows the packed row of each of x's, where x is a choice of them; else x has a stretch of numbers for each packed row
   */
  norm?(
    g: Graph,
    site: NormSite,
    x: Tensor,
    base: (x: Tensor, gain?: Tensor) => Tensor,
    packedRows?: Int32Array,
  ): Tensor;
  /** What gives logits in place of the base's head. */
  readonly head?: LogitsHead;
}

/** The base model is adapter zero: hooks that change nothing. */
export const baseHooks: SiteHooks = { linear: (_g, _site, x, base) => base(x) };

/** The place of a site in {@link linearSites}: the same for every adapter of a base. */
export function siteIndex({ layer, role }: LinearSite): number {
  return layer * LINEAR_ROLES.length + LINEAR_ROLES.indexOf(role);
}

/** Every linear site, layer by layer in {@link LINEAR_ROLES} order. */
export function linearSites(config: ModelConfig): LinearSite[] {
  const { hiddenSize: D, intermediateSize: F } = config;
  const q = config.numHeads * config.headWidth;
  const kv = config.numKeyValueHeads * config.headWidth;
  const shapes: Record<LinearRole, readonly [block: string, inputs: number, out: number]> = {
    q_proj: ['self_attn', D, q],
    k_proj: ['self_attn', D, kv],
    v_proj: ['self_attn', D, kv],
    o_proj: ['self_attn', q, D],
    gate_proj: ['mlp', D, F],
    up_proj: ['mlp', D, F],
    down_proj: ['mlp', F, D],
  };
  const sites: LinearSite[] = [];
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const role of LINEAR_ROLES) {
      const [block, inputs, out] = shapes[role];
      const hasBias = config.biasedRoles.includes(role);
      sites.push({ path: `model.layers.${layer}.${block}.${role}`, layer, role, in: inputs, out, hasBias });
    }
  }
  return sites;
}

/** What of a model's config its norms depend on. */
export interface NormShapes extends Pick<ModelConfig, 'numLayers' | 'hiddenSize' | 'headWidth'> {
  readonly queryKeyNorm?: boolean;
}

/** Every norm, layer by layer, then the last one. */
export function normSites(config: NormShapes): NormSite[] {
  const { hiddenSize: D, headWidth: E } = config;
  const sites = Array.from({ length: config.numLayers }, (_, layer): NormSite[] => [
    normSite(`model.layers.${layer}.input_layernorm`, D),
    normSite(`model.layers.${layer}.post_attention_layernorm`, D),
    ...(config.queryKeyNorm
      ? [normSite(`model.layers.${layer}.self_attn.q_norm`, E), normSite(`model.layers.${layer}.self_attn.k_norm`, E)]
      : []),
  ]);
  return [...sites.flat(), normSite('model.norm', D)];
}

/** A norm by its path. */
export function normSite(path: string, width: number): NormSite {
  const role = NORM_ROLES.find((name) => path.endsWith(`.${name}`));
  assert(role, `${path} is a norm`);
  return { path, role, width };
}
