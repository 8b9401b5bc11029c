import type { BaseModel, SiteHooks } from '../../model/index.ts';
import { resolveTargets, type TargetFields } from '../targets.ts';

/** Hooks of a method that changes the linear layers its config targets; every other layer is the base's. @throws TARGET_UNMATCHED */
export function onTargets(config: TargetFields, base: BaseModel, linear: SiteHooks['linear']): SiteHooks {
  const targeted = new Set(resolveTargets(config, base.sites).map(({ path }) => path));
  return {
    linear: (g, site, x, layer) => (targeted.has(site.path) ? linear(g, site, x, layer) : layer(x)),
  };
}
