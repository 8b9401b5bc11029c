import type { Graph, Tensor } from '../numeric/index.ts';
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
}

/**
 * How something from outside (an adapter, a batch of many adapters) takes part in a forward pass. `base` computes the frozen layer
 * on the input it is given, so a hook can change the input, the output, or both. The model knows nothing of adapters.
 */
export interface SiteHooks {
  linear(g: Graph, site: LinearSite, x: Tensor, base: (x: Tensor) => Tensor): Tensor;
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
      sites.push({ path: `model.layers.${layer}.${block}.${role}`, layer, role, in: inputs, out });
    }
  }
  return sites;
}
