import { assert, Rng, type RngState } from '../base/index.ts';
import type { Graph, GradientSlot } from './graph.ts';
import { ScopeStack } from './graph.ts';
import type { Kernels } from './kernels.ts';
import type { BufferPool } from './pool.ts';
import type { Tensor } from './tensor.ts';

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
    return this.#tracked.has(x);
  }

  record(
    output: Tensor,
    inputs: readonly Tensor[],
    saved: readonly Tensor[],
    backward: (dOutput: Tensor) => void,
  ): void {
    if (!inputs.some((input) => this.#tracked.has(input))) return;
    this.#tracked.add(output);
    if (this.#pass?.isFirst) return;
    for (const tensor of saved) this.#hold(tensor);
    this.#nodes.push({ output, saved, backward });
  }

  gradient(x: Tensor): GradientSlot {
    assert(this.#tracked.has(x), 'a gradient is asked for a tensor that needs one');
    const known = this.#gradients.get(x);
    if (known) return { tensor: known, accumulate: true };
    const made = { shape: x.shape, data: this.#pool.take(x.data.length) };
    this.#gradients.set(x, made);
    return { tensor: made, accumulate: false };
  }

  segment(x: Tensor, body: (x: Tensor) => Tensor): Tensor {
    if (!this.#isRecomputing) return body(x);
    assert(!this.#pass, 'a segment lies in no other');
    this.#hold(x);
    const pass: Pass = { isFirst: true, generators: [], next: 0 };
    const output = this.#run(pass, x, body);
    assert(output !== x, 'a segment has an output of its own');
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
    for (const node of nodes) if (!firstNode.has(node.output)) firstNode.set(node.output, node);
    for (let node = nodes.pop(); node; node = nodes.pop()) {
      const dOutput = this.#gradients.get(node.output);
      if (dOutput) {
        node.backward(dOutput);
        if (firstNode.get(node.output) === node && !isParameter.has(node.output)) {
          this.#gradients.delete(node.output);
          this.#pool.give(dOutput.data);
        }
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
    this.#savedCount.set(x, (this.#savedCount.get(x) ?? 0) + 1);
  }

  /** Forgets the record and frees everything: the end of a step, also of one that failed. */
  reset(): void {
    const own = new Set(this.#parameters.map((parameter) => parameter.gradient));
    for (const gradient of this.#gradients.values()) if (!own.has(gradient)) this.#pool.give(gradient.data);
    this.#gradients.clear();
    this.#savedCount.clear();
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

  #releaseSaved(tensor: Tensor): void {
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
