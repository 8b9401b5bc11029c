import { patternMatcher, patternPath, type LoraConfig } from '../../formats/index.ts';

/** Rank and scale of a module. */
export interface LoraScale {
  readonly rank: number;
  readonly scale: number;
}

/**
 * The scale of each module by its path: `alpha/r`, or `alpha/sqrt(r)` for rank-stabilised LoRA (Kalajdzievski, 2023). Rank and alpha are
 * looked up separately in their patterns, as PEFT does.
 */
export function loraScales(config: LoraConfig): (path: string) => LoraScale {
  const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
  const alphaOf = patternMatcher(config.alpha_pattern, 'alpha_pattern');
  return (path) => {
    const key = patternPath(config, path);
    const rank = rankOf(key) ?? config.r;
    const alpha = alphaOf(key) ?? config.lora_alpha;
    return { rank, scale: config.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank };
  };
}
