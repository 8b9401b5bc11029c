import { assert } from '../base/index.ts';
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
    for (const tensor of saved) this.#savedCount.set(tensor, (this.#savedCount.get(tensor) ?? 0) + 1);
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
    for (const node of this.#nodes) if (!firstNode.has(node.output)) firstNode.set(node.output, node);
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
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
    this.reset();
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
