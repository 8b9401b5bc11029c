import type { LinearSite, SiteHooks } from '../model/index.ts';
import { joinRows, type Graph, type Tensor } from '../numeric/index.ts';

/** Rows begin..end of a packed batch belong to one run. */
export interface RunSpan {
  readonly begin: number;
  readonly end: number;
  readonly hooks: SiteHooks;
  /** See `TrainableMethod.sharesProduct`. */
  readonly sharesProduct: boolean;
}

/**
 * The hooks of several runs over the rows of one pass: each run sees its own rows as if they were the whole batch, so that values
 * and gradients are, bit for bit, what they are when it trains alone. Neighbours that share the frozen product get it in one call.
 * @param spans rise, and cover every row
 */
export function spanHooks(spans: readonly RunSpan[]): SiteHooks {
  const stretches = stretchesOf(spans);
  return {
    linear(g, site, x, base) {
      const outputs = stretches.map((stretch) => stretchLinear(g, site, x, base, stretch));
      return outputs.length === 1 ? outputs[0] : joinRows(g, outputs);
    },
  };
}

/** Neighbours that share their product, or one run that does not. */
function stretchesOf(spans: readonly RunSpan[]): RunSpan[][] {
  const stretches: RunSpan[][] = [];
  for (const span of spans) {
    const last = stretches.at(-1);
    if (last && span.sharesProduct && last[0].sharesProduct) last.push(span);
    else stretches.push([span]);
  }
  return stretches;
}

function stretchLinear(
  g: Graph,
  site: LinearSite,
  x: Tensor,
  base: (x: Tensor) => Tensor,
  stretch: readonly RunSpan[],
): Tensor {
  if (stretch.length === 1) {
    const [{ begin, end, hooks }] = stretch;
    return hooks.linear(g, site, begin === 0 && end === x.shape[0] ? x : g.rows(x, begin, end), base);
  }
  const first = stretch[0].begin;
  const last = stretch[stretch.length - 1].end;
  const y = base(first === 0 && last === x.shape[0] ? x : g.rows(x, first, last));
  const parts = stretch.map(({ begin, end, hooks }) => {
    const [xRows, yRows] = [g.rows(x, begin, end), g.rows(y, begin - first, end - first)];
    const output = hooks.linear(g, site, xRows, (input) => (input === xRows ? yRows : base(input)));
    return { output, isInPlace: output === yRows };
  });
  return parts.every(({ isInPlace }) => isInPlace)
    ? y
    : joinRows(
        g,
        parts.map(({ output }) => output),
      );
}
