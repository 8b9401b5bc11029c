import { assert, Rng, type RngState } from '../base/index.ts';
import type { Graph, GradientSlot } from './graph.ts';
import { ScopeStack } from './graph.ts';
import type { Kernels } from './kernels.ts';
import type { BufferPool } from './pool.ts';
import { contains, fillGaps, type RowView } from './row-view.ts';
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

/** Where a tape stands in a segment: it runs for the first time and nothing is kept, or again, with the generators' states of then. */
interface Pass {
  readonly isFirst: boolean;
  readonly generators: RngState[];
  next: number;
}

export interface TapeOptions {
  /**
   * Keep the input of each segment alone and compute it again on the way back (Chen et al., 2016): less memory for one more forward pass, and the
   * same gradients bit for bit.
   */
  readonly recompute?: boolean | undefined;
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
  readonly #isRecomputing: boolean;
  #nodes: TapeNode[] = [];
  #pass: Pass | undefined;

  constructor(kernels: Kernels, pool: BufferPool, parameters: readonly Parameter[], options: TapeOptions = {}) {
    this.#isRecomputing = options.recompute ?? false;
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
    if (this.#pass?.isFirst) return;
    for (const tensor of saved) this.#hold(tensor);
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

  segment(x: Tensor, body: (x: Tensor) => Tensor): Tensor {
    if (!this.#isRecomputing) return body(x);
    assert(!this.#pass, 'a segment lies in no other');
    this.#hold(x);
    const pass: Pass = { isFirst: true, generators: [], next: 0 };
    const output = this.#run(pass, x, body);
    assert(output !== x && !this.#views.has(output), 'a segment has an output of its own');
    if (this.#tracked.has(output)) {
      const backward = (dOutput: Tensor): void => this.#goBack(dOutput, x, body, pass.generators);
      this.#nodes.push({ output, saved: [x], backward });
    } else this.#releaseSaved(x);
    return output;
  }

  replayed(rng: Rng): Rng {
    const pass = this.#pass;
    if (!pass) return rng;
    if (pass.isFirst) {
      pass.generators.push(rng.state);
      return rng;
    }
    const state = pass.generators[pass.next++];
    assert(state, 'a segment that runs again draws from as many generators');
    return Rng.fromState(state);
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
    this.#walk(this.#nodes);
    this.reset();
  }

  /** Goes back through nodes, last first. */
  #walk(nodes: TapeNode[]): void {
    const isParameter = new Set(this.#parameters.map((parameter) => parameter.value));
    // A tensor that is changed in place is the output of several nodes: its gradient lives until the first of them.
    const firstNode = new Map<Tensor, TapeNode>();
    for (const node of nodes) {
      const whole = this.#wholeOf(node.output);
      if (!firstNode.has(whole)) firstNode.set(whole, node);
    }
    for (let node = nodes.pop(); node; node = nodes.pop()) {
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
  }

  /** Runs a segment again, recorded this time, and goes back through it. */
  #goBack(dOutput: Tensor, x: Tensor, body: (x: Tensor) => Tensor, generators: RngState[]): void {
    const outside = this.#nodes;
    this.#nodes = [];
    const output = this.#run({ isFirst: false, generators, next: 0 }, x, body);
    const nodes = this.#nodes;
    this.#nodes = outside;
    this.gradient(output).tensor.data.set(dOutput.data);
    this.#walk(nodes);
    this.release(output);
  }

  #run(pass: Pass, x: Tensor, body: (x: Tensor) => Tensor): Tensor {
    this.#pass = pass;
    try {
      return this.scope(() => body(x));
    } finally {
      this.#pass = undefined;
    }
  }

  #hold(x: Tensor): void {
    const whole = this.#wholeOf(x);
    this.#savedCount.set(whole, (this.#savedCount.get(whole) ?? 0) + 1);
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
