/** Trained parts of the base outside of its linear layers, as hooks of a pass on the tape. */
import type { BaseModel, SiteHooks } from '../../model/index.ts';
import { denseLinear, frozenLinear, replaceColumns, replaceRows, type Tensor } from '../../numeric/index.ts';

/** Gains that stand in place of the base's, by the paths of their norms. */
export function gainHooks(gains: ReadonlyMap<string, Tensor>): Pick<SiteHooks, 'norm'> {
  if (gains.size === 0) return {};
  return { norm: (_g, site, x, base) => base(x, gains.get(site.path)) };
}

/** Rows [K, D] that stand in place of the embedding's for `ids`. */
export function tokenEmbedHook(ids: readonly number[], rows_KD: Tensor): NonNullable<SiteHooks['embed']> {
  const indexOf = new Map(ids.map((id, index) => [id, index]));
  return (g, { tokenIds_T }, x) => {
    const to = [...tokenIds_T.keys()].filter((row) => indexOf.has(tokenIds_T[row]));
    if (to.length === 0) return;
    const from = to.map((row) => indexOf.get(tokenIds_T[row]) ?? 0);
    replaceRows(g, x, rows_KD, { to: Int32Array.from(to), from: Int32Array.from(from) });
  };
}

/** The same, and in place of the head's rows where that is the same matrix. */
export function tokenHooks(
  ids: readonly number[],
  rows_KD: Tensor,
  base: BaseModel,
): Pick<SiteHooks, 'embed' | 'head'> {
  const columns = Int32Array.from(ids);
  return {
    embed: tokenEmbedHook(ids, rows_KD),
    ...(base.config.tieEmbeddings && {
      head: {
        logits(g, x) {
          const logits = frozenLinear(g, x, base.head);
          replaceColumns(g, logits, denseLinear(g, x, rows_KD), columns);
          return logits;
        },
      },
    }),
  };
}
