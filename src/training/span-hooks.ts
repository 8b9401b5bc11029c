import type { InputRows, LinearSite, SiteHooks } from '../model/index.ts';
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
 * and gradients are, bit for bit, what they are when it trains alone. Neighbours that share the frozen product get it in one call. Heads are
 * left out: the rows of different runs have different ones.
 * @param spans rise, and cover every row
 */
export function spanHooks(spans: readonly RunSpan[]): SiteHooks {
  const stretches = stretchesOf(spans);
  return {
    ...partHooks(spans),
    linear(g, site, x, base) {
      const outputs = stretches.map((stretch) => stretchLinear(g, site, x, base, stretch));
      return outputs.length === 1 ? outputs[0] : joinRows(g, outputs);
    },
  };
}

/** What runs change outside of linear layers: each its own rows. */
function partHooks(spans: readonly RunSpan[]): Pick<SiteHooks, 'embed' | 'keyValues' | 'norm'> {
  const rowsOf = ({ tokenIds_T, positions_T }: InputRows, { begin, end }: RunSpan): InputRows => ({
    tokenIds_T: tokenIds_T.subarray(begin, end),
    positions_T: positions_T.subarray(begin, end),
  });
  const isAny = (name: 'embed' | 'keyValues' | 'norm'): boolean => spans.some(({ hooks }) => hooks[name] !== undefined);
  return {
    ...(isAny('embed') && {
      embed(g, rows, x) {
        for (const span of spans) span.hooks.embed?.(g, rowsOf(rows, span), g.rows(x, span.begin, span.end));
      },
    }),
    ...(isAny('keyValues') && {
      keyValues(g, layer, rows, k, v) {
        for (const span of spans) {
          const [own, { begin, end }] = [rowsOf(rows, span), span];
          span.hooks.keyValues?.(g, layer, own, g.rows(k, begin, end), g.rows(v, begin, end));
        }
      },
    }),
    ...(isAny('norm') && {
      norm(g, site, x, base, packedRows) {
        const parts = spans.flatMap((span): Tensor[] => {
          const [begin, end] = placesOf(span, packedRows);
          if (begin === end) return [];
          const rows = begin === 0 && end === x.shape[0] ? x : g.rows(x, begin, end);
          return [span.hooks.norm ? span.hooks.norm(g, site, rows, base) : base(rows)];
        });
        return parts.length === 1 ? parts[0] : joinRows(g, parts);
      },
    }),
  };
}

/** Where a run's rows stand among `packedRows`, which rise; all rows stand in their own places. */
function placesOf({ begin, end }: RunSpan, packedRows: Int32Array | undefined): readonly [number, number] {
  if (!packedRows) return [begin, end];
  const first = packedRows.findIndex((row) => row >= begin);
  const after = packedRows.findIndex((row) => row >= end);
  const length = packedRows.length;
  return [first === -1 ? length : first, after === -1 ? length : after];
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
