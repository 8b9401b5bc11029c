/** `modules_to_save`: modules of the base that an adapter has whole copies of. */
import type { LoraConfig } from '../configs/lora-config.ts';
import { EMBEDDING_PATH, HEAD_PATH, tensorName, type AdapterBase, type ExpectedTensor } from './tensor-layout.ts';

/**
 * The modules that a config saves whole, by its names; with `ensure_weight_tying`, on a base whose head is the embedding, both of them where
 * one is named.
 */
export function savedNames(
  { modules_to_save: names, ensure_weight_tying }: LoraConfig,
  { config: { tieEmbeddings } }: { readonly config: { readonly tieEmbeddings: boolean } },
): readonly string[] | null {
  const isOuter = names !== null && [EMBEDDING_PATH, HEAD_PATH].some((path) => isNamed(names, path));
  return isOuter && ensure_weight_tying && tieEmbeddings ? [...names, 'embed_tokens', 'lm_head'] : names;
}

/** A module that is saved whole: its one tensor is `weight`. */
export interface SavedModule {
  readonly path: string;
  readonly shape: readonly number[];
}

/** By PEFT's rule, which asks for the end of a path that need not be a whole part of it: `norm` is every norm. */
const isNamed = (names: readonly string[], path: string): boolean => names.some((name) => path.endsWith(name));

const SAVABLE = /^(?:lm_head|model\.(?:embed_tokens|norm|layers\.\d+\.(?:\w+_layernorm|self_attn\.[qk]_norm)))$/;

/** The modules of a base that `names` choose. */
export function savedModules(names: readonly string[] | null, { config }: Pick<AdapterBase, 'config'>): SavedModule[] {
  if (names === null) return [];
  const { hiddenSize: D, vocabSize: V, headWidth: E, numLayers } = config;
  const all: SavedModule[] = [{ path: EMBEDDING_PATH, shape: [V, D] }];
  for (let layer = 0; layer < numLayers; layer++) {
    const path = `model.layers.${layer}`;
    if (config.queryKeyNorm) {
      all.push({ path: `${path}.self_attn.q_norm`, shape: [E] }, { path: `${path}.self_attn.k_norm`, shape: [E] });
    }
    all.push({ path: `${path}.input_layernorm`, shape: [D] }, { path: `${path}.post_attention_layernorm`, shape: [D] });
  }
  all.push({ path: 'model.norm', shape: [D] }, { path: HEAD_PATH, shape: [V, D] });
  return all.filter(({ path }) => isNamed(names, path));
}

/** The module of a tensor that may be saved whole; undefined for others. */
export function savedModuleOf(name: string, names: readonly string[] | null): string | undefined {
  const path = /^base_model\.model\.(.+)\.weight$/.exec(name)?.[1];
  return path !== undefined && names !== null && SAVABLE.test(path) && isNamed(names, path) ? path : undefined;
}

export function expectedSaved(names: readonly string[] | null, base: AdapterBase): ExpectedTensor[] {
  return savedModules(names, base).map(({ path, shape }) => ({
    name: tensorName(path, 'weight'),
    shape,
    whose: `${path}, which modules_to_save names`,
  }));
}
