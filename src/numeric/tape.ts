import { assert } from '../base/index.ts';
import type { Graph, GradientSlot } from './graph.ts';
import { ScopeStack } from './graph.ts';
import type { Kernels } from './kernels.ts';
import type { BufferPool } from './pool.ts';
import { viewRows, type Tensor } from './tensor.ts';

/** A trainable tensor and where its gradient is summed. Both live as long as the run, outside of every pool. */
export interface Parameter {
  readonly name: string;
  readonly value: Tensor;
  readonly gradient: Tensor;
}

interface TapeNode {
  readonly output: Tensor;
  readonly saved: readonly Tensor[];
  readonly backward: (dOutput: Tensor) => void;
}

/** Rows of another tensor, which owns their values and gradients. */
interface RowView {
  readonly whole: Tensor;
  readonly begin: number;
  readonly end: number;
}

/**
 * Reverse-mode automatic differentiation (Griewank and Walther, 2008): operations record themselves as they run, `backward` walks
 * the record once in reverse. A gradient is freed as soon as the operation that made its tensor has gone back, a saved
 * activation after its last reader.
 */
export class Tape implements Graph {
  readonly kernels: Kernels;
  readonly #pool: BufferPool;
  readonly #scopes: ScopeStack;
  readonly #parameters: readonly Parameter[];
  readonly #tracked = new Set<Tensor>();
  readonly #gradients = new Map<Tensor, Tensor>();
  readonly #savedCount = new Map<Tensor, number>();
  readonly #views = new Map<Tensor, RowView>();
  /** Gradients that only views have written so far: which rows hold something. */
  readonly #written = new Map<Tensor, RowView[]>();
  #nodes: TapeNode[] = [];

  constructor(kernels: Kernels, pool: BufferPool, parameters: readonly Parameter[]) {
    this.kernels = kernels;
    this.#pool = pool;
    this.#scopes = new ScopeStack(pool);
    this.#parameters = parameters;
    this.#track();
  }

  empty(shape: readonly number[]): Tensor {
    return this.#scopes.make(shape);
  }

  needsGradient(x: Tensor): boolean {
    return this.#tracked.has(this.#wholeOf(x));
  }

  record(
    output: Tensor,
    inputs: readonly Tensor[],
    saved: readonly Tensor[],
    backward: (dOutput: Tensor) => void,
  ): void {
    if (!inputs.some((input) => this.needsGradient(input))) return;
    this.#tracked.add(this.#wholeOf(output));
    for (const tensor of saved) {
      const whole = this.#wholeOf(tensor);
      this.#savedCount.set(whole, (this.#savedCount.get(whole) ?? 0) + 1);
    }
    this.#nodes.push({ output, saved, backward });
  }

  gradient(x: Tensor): GradientSlot {
    assert(this.needsGradient(x), 'a gradient is asked for a tensor that needs one');
    const view = this.#views.get(x);
    if (view) return this.#gradientOfRows(view);
    const known = this.#gradients.get(x);
    if (known) {
      this.#complete(x, known);
      return { tensor: known, accumulate: true };
    }
    const made = { shape: x.shape, data: this.#pool.take(x.data.length) };
    this.#gradients.set(x, made);
    return { tensor: made, accumulate: false };
  }

  rows(x: Tensor, begin: number, end: number): Tensor {
    const made = viewRows(x, begin, end);
    const outer = this.#views.get(x);
    this.#views.set(made, {
      whole: outer?.whole ?? x,
      begin: begin + (outer?.begin ?? 0),
      end: end + (outer?.begin ?? 0),
    });
    return made;
  }

  scope(body: () => Tensor): Tensor {
    return this.#scopes.run(body, (made) => this.#savedCount.has(made));
  }

  release(x: Tensor): void {
    if (!this.#savedCount.has(x)) this.#scopes.release(x);
  }

  /**
   * Adds d loss / d parameter to every parameter's gradient and frees everything the step made.
   * @param loss a tensor of shape [1]
   */
  backward(loss: Tensor): void {
    assert(loss.data.length === 1, 'backward starts at a scalar');
    if (this.#tracked.has(loss)) this.gradient(loss).tensor.data[0] = 1;
    const isParameter = new Set(this.#parameters.map((parameter) => parameter.value));
    // A tensor that is changed in place is the output of several nodes: its gradient lives until the first of them.
    const firstNode = new Map<Tensor, TapeNode>();
    for (const node of this.#nodes) {
      const whole = this.#wholeOf(node.output);
      if (!firstNode.has(whole)) firstNode.set(whole, node);
    }
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const whole = this.#wholeOf(node.output);
      const dWhole = this.#gradients.get(whole);
      const dOutput = dWhole && this.#gradientSoFar(node.output, dWhole);
      if (dOutput) node.backward(dOutput);
      if (dWhole && firstNode.get(whole) === node && !isParameter.has(whole)) {
        this.#gradients.delete(whole);
        this.#written.delete(whole);
        this.#pool.give(dWhole.data);
      }
      for (const tensor of node.saved) this.#releaseSaved(tensor);
    }
    this.reset();
  }

  /** Forgets the record and frees everything: the end of a step, also of one that failed. */
  reset(): void {
    const own = new Set(this.#parameters.map((parameter) => parameter.gradient));
    for (const gradient of this.#gradients.values()) if (!own.has(gradient)) this.#pool.give(gradient.data);
    this.#gradients.clear();
    this.#savedCount.clear();
    this.#views.clear();
    this.#written.clear();
    this.#tracked.clear();
    this.#nodes = [];
    this.#scopes.clear();
    this.#track();
  }

  #track(): void {
    for (const { value, gradient } of this.#parameters) {
      this.#tracked.add(value);
      this.#gradients.set(value, gradient);
    }
  }

  #wholeOf(x: Tensor): Tensor {
    return this.#views.get(x)?.whole ?? x;
  }

  /** What has flowed into `x`; undefined for rows that nothing has flowed into. */
  #gradientSoFar(x: Tensor, dWhole: Tensor): Tensor | undefined {
    const view = this.#views.get(x);
    if (!view) {
      this.#complete(x, dWhole);
      return dWhole;
    }
    const written = this.#written.get(view.whole);
    if (written && !written.some((other) => contains(other, view))) return undefined;
    return viewRows(dWhole, view.begin, view.end);
  }

  #gradientOfRows(view: RowView): GradientSlot {
    const { whole, begin, end } = view;
    let dWhole = this.#gradients.get(whole);
    if (!dWhole) {
      dWhole = { shape: whole.shape, data: this.#pool.take(whole.data.length) };
      this.#gradients.set(whole, dWhole);
      this.#written.set(whole, []);
    }
    const tensor = viewRows(dWhole, begin, end);
    const written = this.#written.get(whole);
    if (!written) return { tensor, accumulate: true };
    if (written.some((other) => contains(other, view))) return { tensor, accumulate: true };
    const inside = written.filter((other) => contains(view, other));
    const outside = written.filter((other) => !inside.includes(other));
    assert(
      outside.every((other) => other.end <= begin || end <= other.begin),
      'two views have no rows in common, or one is part of the other',
    );
    if (inside.length > 0) fillGaps(dWhole, view, inside);
    this.#written.set(whole, [...outside, view]);
    return { tensor, accumulate: inside.length > 0 };
  }

  #complete(whole: Tensor, dWhole: Tensor): void {
    const written = this.#written.get(whole);
    if (!written) return;
    this.#written.delete(whole);
    fillGaps(dWhole, { whole, begin: 0, end: whole.shape[0] }, written);
  }

  #releaseSaved(saved: Tensor): void {
    const tensor = this.#wholeOf(saved);
    const count = this.#savedCount.get(tensor);
    if (count === undefined) return;
    if (count > 1) {
      this.#savedCount.set(tensor, count - 1);
      return;
    }
    this.#savedCount.delete(tensor);
    this.#scopes.release(tensor);
  }
}

function contains(outer: RowView, inner: RowView): boolean {
  return outer.begin <= inner.begin && inner.end <= outer.end;
}

/** Rows of `view` that are in none of `written` get −0, the only number that changes no bit of what is added to it. */
function fillGaps(dWhole: Tensor, view: RowView, written: readonly RowView[]): void {
  const width = dWhole.shape[1];
  let begin = view.begin;
  for (const span of written.toSorted((a, b) => a.begin - b.begin)) {
    dWhole.data.fill(-0, begin * width, span.begin * width);
    begin = span.end;
  }
  dWhole.data.fill(-0, begin * width, view.end * width);
}
