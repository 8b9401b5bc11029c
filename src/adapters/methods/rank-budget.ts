import { assert } from '../../base/index.ts';
import type { AdaloraConfig } from '../../formats/index.ts';
import type { Floats, Kernels, Parameter, Tensor } from '../../numeric/index.ts';
import { zerosLike } from '../dense.ts';
import type { StepRule } from '../method.ts';

/** A, B and the singular values of a module. */
interface Triplet {
  readonly A: Tracked;
  readonly B: Tracked;
  readonly E: Tracked;
  /** 1 for a rank that was kept when the budget was last shared out, [R]. */
  readonly mask: Tensor;
}

interface Tracked {
  readonly parameter: Parameter;
  /** Running means of |value · gradient| and of its distance from that mean. */
  readonly importance: Floats;
  readonly uncertainty: Floats;
}

/**
 * What AdaLoRA does beside the optimizer, as PEFT's RankAllocator: the orthogonality penalty before each update, and after it the budget,
 * which falls from `init_r` to `target_r` ranks a module between the first `tinit` and the last `tfinal` steps, cubically. The ranks of all
 * modules compete by the importance of their singular value and vectors.
 */
export class RankBudget implements StepRule {
  readonly state: ReadonlyMap<string, Tensor>;
  readonly #config: AdaloraConfig;
  readonly #triplets: readonly Triplet[];

  constructor(config: AdaloraConfig, parameters: readonly Parameter[]) {
    this.#config = config;
    const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    const state = new Map<string, Tensor>();
    const kept = (name: string, shape: readonly number[], fill: number): Tensor => {
      const made = { shape, data: new Float32Array(shape.reduce((size, length) => size * length, 1)).fill(fill) };
      state.set(name, made);
      return made;
    };
    const tracked = (name: string): Tracked => {
      const parameter = byName.get(name);
      assert(parameter, `AdaLoRA trains ${name}`);
      const { shape } = parameter.value;
      const [importance, uncertainty] = ['importance', 'uncertainty'].map((what) => kept(`${what}.${name}`, shape, 0));
      return { parameter, importance: importance.data, uncertainty: uncertainty.data };
    };
    const modules = [...byName.keys()].filter((name) => name.endsWith('.lora_E')).map((name) => name.slice(0, -1));
    this.#triplets = modules.map((module) => {
      const [A, B, E] = ['A', 'B', 'E'].map((end) => tracked(module + end)) as [Tracked, Tracked, Tracked];
      return { A, B, E, mask: kept(`mask.${module}E`, [E.importance.length], 1) };
    });
    this.state = state;
  }

  /** `orth_reg_weight` · the mean of ‖A·Aᵀ − I‖ and ‖Bᵀ·B − I‖ over the modules. */
  addPenalty(kernels: Kernels, weightSum: number): number {
    const share = this.#config.orth_reg_weight / (2 * this.#triplets.length);
    let penalty = 0;
    for (const { A, B } of this.#triplets) {
      for (const [{ parameter }, isB] of [
        [A, false],
        [B, true],
      ] as const) {
        penalty += share * addOrthogonality(kernels, parameter, isB, share * weightSum);
      }
    }
    return penalty;
  }

  afterUpdate(step: number, gradientScale: number): void {
    const { total_step: total, tfinal, tinit, deltaT } = this.#config;
    const last = total - tfinal;
    if (step > last) {
      this.#cut();
      return;
    }
    if (step < last) this.#observe(gradientScale);
    if (step === last || (step > tinit && step % deltaT === 0)) this.#share(step);
  }

  #observe(gradientScale: number): void {
    const { beta1, beta2 } = this.#config;
    for (const { A, B, E } of this.#triplets) {
      for (const { parameter, importance, uncertainty } of [A, B, E]) {
        const [values, gradients] = [parameter.value.data, parameter.gradient.data];
        for (let i = 0; i < values.length; i++) {
          const now = Math.abs(values[i] * gradients[i] * gradientScale);
          importance[i] = beta1 * importance[i] + (1 - beta1) * now;
          uncertainty[i] = beta2 * uncertainty[i] + (1 - beta2) * Math.abs(now - importance[i]);
        }
      }
    }
  }

  /** Keeps as many of all ranks as the budget has places for, the most important ones. */
  #share(step: number): void {
    const numRanks = this.#triplets.reduce((sum, { mask }) => sum + mask.data.length, 0);
    const numCut = numRanks - this.#budget(step, numRanks);
    if (numCut === 0) return;
    const scores = this.#triplets.map(scoresOf);
    const threshold = scores.flatMap((own) => [...own]).sort((a, b) => a - b)[numCut - 1];
    for (const [index, { mask }] of this.#triplets.entries()) {
      for (let r = 0; r < mask.data.length; r++) mask.data[r] = scores[index][r] <= threshold ? 0 : 1;
    }
    this.#cut();
  }

  #budget(step: number, numRanks: number): number {
    const { total_step: total, tfinal, tinit, target_r } = this.#config;
    const target = target_r * this.#triplets.length;
    const left = 1 - (step - tinit) / (total - tfinal - tinit);
    return Math.trunc((numRanks - target) * left ** 3 + target);
  }

  #cut(): void {
    for (const { E, mask } of this.#triplets) {
      const { data } = E.parameter.value;
      for (let r = 0; r < data.length; r++) if (mask.data[r] === 0) data[r] = 0;
    }
  }
}

/** Of each rank: the score of its singular value, and the means over its row of A and its column of B. */
function scoresOf({ A, B, E }: Triplet): Float32Array {
  const scoreAt = ({ importance, uncertainty }: Tracked, at: number): number => importance[at] * uncertainty[at];
  const R = E.importance.length;
  const [I, O] = [A.importance.length / R, B.importance.length / R];
  return Float32Array.from({ length: R }, (_, r) => {
    let [ofA, ofB] = [0, 0];
    for (let i = 0; i < I; i++) ofA += scoreAt(A, r * I + i);
    for (let o = 0; o < O; o++) ofB += scoreAt(B, o * R + r);
    return scoreAt(E, r) + ofA / I + ofB / O;
  });
}

/**
 * Adds weight · d‖S‖/dP to P's gradient, S being P·Pᵀ − I, or Pᵀ·P − I for columns: 2·S·P/‖S‖. An orthogonal P has no gradient.
 * @returns ‖S‖
 */
function addOrthogonality(
  kernels: Kernels,
  { value, gradient }: Parameter,
  isColumns: boolean,
  weight: number,
): number {
  const [rows, columns] = value.shape as [number, number];
  const R = isColumns ? columns : rows;
  const S = zerosLike(value.data, R * R);
  const K = isColumns ? rows : columns;
  kernels.gemm(S, value.data, value.data, { M: R, N: R, K, transposeA: isColumns, transposeB: !isColumns });
  for (let i = 0; i < S.length; i += R + 1) S[i] = S[i] - 1;
  const norm = Math.sqrt(kernels.sumSquares(S));
  if (norm === 0) return 0;
  const alpha = (2 * weight) / norm;
  const [left, right] = isColumns ? [value.data, S] : [S, value.data];
  kernels.gemm(gradient.data, left, right, { M: rows, N: columns, K: R, alpha, accumulate: true });
  return norm;
}
