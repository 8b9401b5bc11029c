import type { Tensor } from './tensor.ts';

/** Rows of another tensor, which owns their values and gradients. */
export interface RowView {
  readonly whole: Tensor;
  readonly begin: number;
  readonly end: number;
}

export function contains(outer: RowView, inner: RowView): boolean {
  return outer.begin <= inner.begin && inner.end <= outer.end;
}

/** Rows of `view` that are in none of `written` get −0, the only number that changes no bit of what is added to it. */
export function fillGaps(dWhole: Tensor, view: RowView, written: readonly RowView[]): void {
  const width = dWhole.shape.length === 1 ? 1 : dWhole.shape[1];
  let begin = view.begin;
  for (const span of written.toSorted((a, b) => a.begin - b.begin)) {
    dWhole.data.fill(-0, begin * width, span.begin * width);
    begin = span.end;
  }
  dWhole.data.fill(-0, begin * width, view.end * width);
}
