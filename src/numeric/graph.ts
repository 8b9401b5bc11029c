import { assert, type Rng } from '../base/index.ts';
import type { Kernels } from './kernels.ts';
import type { BufferPool } from './pool.ts';
import type { Tensor } from './tensor.ts';
import { sizeOf, viewRows } from './tensor.ts';

/** Where a gradient goes: `accumulate` says whether the array already holds an earlier contribution. */
export interface GradientSlot {
  readonly tensor: Tensor;
  readonly accumulate: boolean;
}

/**
 * Where operations run. A model and a PEFT method are written once against this; `Inference` only computes, `Tape`
 * (tape.ts) also records how to go back.
 *
 * Lifetimes: a tensor belongs to the innermost `scope` that was open when it was made. When a scope ends, its tensors go back
 * to the pool, except the one it returns (which then belongs to the outer scope) and those that a recorded operation saved.
 */
export interface Graph {
  readonly kernels: Kernels;
  /** A tensor with undefined contents. */
  empty(shape: readonly number[]): Tensor;
  /** Whether a gradient will flow into `x`; an operation saves nothing for inputs that need none. */
  needsGradient(x: Tensor): boolean;
  /**
   * Records that `output` came from `inputs`. `saved` lists the tensors that `backward` reads. An operation that changes
   * a tensor in place records it as its output. `backward` gets the output's gradient, and asks {@link gradient} for its inputs'.
   */
  record(
    output: Tensor,
    inputs: readonly Tensor[],
    saved: readonly Tensor[],
    backward: (dOutput: Tensor) => void,
  ): void;
  /** The place for a contribution to the gradient of `x` (only inside a `backward`). */
  gradient(x: Tensor): GradientSlot;
  /**
   * A view of rows begin..end of `x`, [end - begin, width]. It shares x's values and its gradient; two views of one tensor have
   * no rows in common, or one is part of the other. It lives as long as `x`.
   */
  rows(x: Tensor, begin: number, end: number): Tensor;
  scope(body: () => Tensor): Tensor;
  /**
   * Runs a part of the graph that reads parameters, `x` and no other tensor from outside, such as a layer. A tape may keep `x` alone and
   * run the body again on the way back: it must compute the same then, and draw random numbers from {@link replayed} generators only.
   */
  segment(x: Tensor, body: (x: Tensor) => Tensor): Tensor;
  /** `rng`; or, in a segment that runs again, a generator in the state that `rng` had at the same place the first time. */
  replayed(rng: Rng): Rng;
  /** Says that `x` will not be read again by the caller: it goes back to the pool now, unless something saved it. */
  release(x: Tensor): void;
}

/** Tensors made inside a scope; what is not kept goes back to the pool at its end. */
export class ScopeStack {
  readonly #pool: BufferPool;
  readonly #scopes: Set<Tensor>[] = [new Set()];

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  make(shape: readonly number[]): Tensor {
    const made = { shape, data: this.#pool.take(sizeOf(shape)) };
    this.#scopes.at(-1)?.add(made);
    return made;
  }

  run(body: () => Tensor, isKept: (made: Tensor) => boolean): Tensor {
    this.#scopes.push(new Set());
    let result: Tensor | undefined;
    try {
      result = body();
      return result;
    } finally {
      const inner = this.#scopes.pop();
      const outer = this.#scopes.at(-1);
      for (const made of inner ?? []) {
        if (made === result || isKept(made)) outer?.add(made);
        else this.#pool.give(made.data);
      }
    }
  }

  /** Frees everything that is still there: the end of a step. */
  clear(): void {
    assert(this.#scopes.length === 1, 'a step ends outside of every scope');
    for (const made of this.#scopes[0]) this.#pool.give(made.data);
    this.#scopes[0] = new Set();
    this.#pool.endStep();
  }

  /** Frees one tensor early. */
  release(made: Tensor): void {
    for (const scope of this.#scopes) {
      if (scope.delete(made)) {
        this.#pool.give(made.data);
        return;
      }
    }
  }
}

/** Forward only: nothing is recorded, every scope frees all that it made but its result. */
export class Inference implements Graph {
  readonly kernels: Kernels;
  readonly #scopes: ScopeStack;

  constructor(kernels: Kernels, pool: BufferPool) {
    this.kernels = kernels;
    this.#scopes = new ScopeStack(pool);
  }

  empty(shape: readonly number[]): Tensor {
    return this.#scopes.make(shape);
  }

  needsGradient(): boolean {
    return false;
  }

  record(): void {
    // Nothing goes back.
  }

  gradient(): GradientSlot {
    throw new Error('there are no gradients in inference');
  }

  rows(x: Tensor, begin: number, end: number): Tensor {
    return viewRows(x, begin, end);
  }

  scope(body: () => Tensor): Tensor {
    return this.#scopes.run(body, () => false);
  }

  segment(x: Tensor, body: (x: Tensor) => Tensor): Tensor {
    return body(x);
  }

  replayed(rng: Rng): Rng {
    return rng;
  }

  release(x: Tensor): void {
    this.#scopes.release(x);
  }

  /** Ends a step: all tensors that it made are invalid afterwards. */
  endStep(): void {
    this.#scopes.clear();
  }
}
