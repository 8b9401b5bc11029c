import { assert } from '../../base/index.ts';
import type { Graph } from '../graph.ts';
import type { Floats, FrozenMatrix } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { isLogitsHead, type Head } from './logits-loss.ts';
import type { CrossEntropy, Targets } from './loss.ts';

export interface Distillation {
  /** Writes the teacher's logits of rows begin..end, [end - begin, V]. */
  readonly teacherLogits: (begin: number, end: number, logits: Floats) => void;
  /** Both distributions are softmax(logits / temperature). */
  readonly temperature: number;
  /** Of the divergence; the cross-entropy of the targets has the rest. */
  readonly share: number;
}

export interface DistillationLoss extends CrossEntropy {
  /** Σ weight · KL(teacher ‖ student), at the temperature. */
  readonly divergenceSum: number;
}

/** Rows whose logits are held at once. */
const CHUNK_ROWS = 32;

/**
 * Knowledge distillation (Hinton et al., 2015): Σ weight · ((1 − share) · −log p(target) + share · τ² · KL(teacher ‖ student)), fused with the
 * student's head as the cross-entropy is (loss.ts): logits are held for a few rows, and the gradient of x is made in the same pass. Of a head
 * that is no frozen matrix they are held whole.
 */
export function distillationLoss(
  g: Graph,
  x: Tensor,
  head: Head,
  targets: Targets,
  distillation: Distillation,
): DistillationLoss {
  const [N, D] = x.shape as [number, number];
  assert(targets.tokenIds_N.length === N && targets.weights_N.length === N, 'one target and one weight a row');
  const rows = new RowLosses(g, targets, distillation);
  const lossSum = g.empty([1]);
  if (isLogitsHead(head)) {
    const logits = head.logits(g, x);
    const dLogits = g.empty(logits.shape);
    dLogits.data.set(logits.data);
    rows.chunk(0, N, dLogits.data);
    record(g, lossSum, logits, dLogits);
  } else {
    const dx = g.needsGradient(x) ? g.empty(x.shape) : undefined;
    eachChunk(g, x, head, (begin, end, logits) => {
      rows.chunk(begin, end, logits);
      if (dx) g.kernels.linearBackward(dx.data.subarray(begin * D, end * D), logits, head, end - begin, false);
    });
    if (dx) record(g, lossSum, x, dx);
  }
  lossSum.data[0] = rows.lossSum;
  const { losses, isTop_N, divergenceSum } = rows;
  return { lossSum, losses, isTop_N, numTop: isTop_N.reduce((sum, one) => sum + one, 0), divergenceSum };
}

function record(g: Graph, lossSum: Tensor, input: Tensor, dInput: Tensor): void {
  g.record(lossSum, [input], [dInput], (dLoss) => {
    const { tensor, accumulate } = g.gradient(input);
    if (!accumulate) tensor.data.fill(0);
    g.kernels.axpy(tensor.data, dInput.data, dLoss.data[0]);
  });
}

function eachChunk(
  g: Graph,
  x: Tensor,
  head: FrozenMatrix,
  body: (begin: number, end: number, logits: Floats) => void,
): void {
  const [N, D] = x.shape as [number, number];
  const chunk = g.empty([Math.min(N, CHUNK_ROWS), head.out]);
  for (let begin = 0; begin < N; begin += CHUNK_ROWS) {
    const end = Math.min(N, begin + CHUNK_ROWS);
    const logits = chunk.data.subarray(0, (end - begin) * head.out);
    g.kernels.linearForward(logits, x.data.subarray(begin * D, end * D), head, end - begin, false);
    body(begin, end, logits);
  }
  g.release(chunk);
}

/** The losses of rows, chunk after chunk. */
class RowLosses {
  readonly losses: Tensor;
  readonly isTop_N: Uint8Array;
  lossSum = 0;
  divergenceSum = 0;
  readonly #g: Graph;
  readonly #targets: Targets;
  readonly #distillation: Distillation;

  constructor(g: Graph, targets: Targets, distillation: Distillation) {
    this.#g = g;
    this.#targets = targets;
    this.#distillation = distillation;
    this.losses = g.empty([targets.tokenIds_N.length]);
    this.isTop_N = new Uint8Array(targets.tokenIds_N.length);
  }

  /** Turns the logits of rows begin..end, in place, into the gradient of the sum. */
  chunk(begin: number, end: number, logits: Floats): void {
    const { teacherLogits, temperature, share } = this.#distillation;
    const V = logits.length / Math.max(1, end - begin);
    const teacher = this.#g.empty([end - begin, V]);
    teacherLogits(begin, end, teacher.data);
    for (let n = begin; n < end; n++) {
      const row = logits.subarray((n - begin) * V, (n - begin + 1) * V);
      const taught = teacher.data.subarray((n - begin) * V, (n - begin + 1) * V);
      const weight = this.#targets.weights_N[n];
      const target = this.#targets.tokenIds_N[n];
      const [plain, soft, wanted] = [logSum(row, 1), logSum(row, temperature), logSum(taught, temperature)];
      const loss = plain.value - row[target];
      this.losses.data[n] = loss;
      this.isTop_N[n] = plain.top === target ? 1 : 0;
      let divergence = 0;
      for (let v = 0; v < V; v++) {
        const logStudent = row[v] / temperature - soft.value;
        const logTeacher = taught[v] / temperature - wanted.value;
        const p = Math.exp(logTeacher);
        if (p > 0) divergence += p * (logTeacher - logStudent);
        const ofTarget = Math.exp(row[v] - plain.value) - (v === target ? 1 : 0);
        // τ² · d KL / d logit = τ · (student − teacher)
        row[v] = weight * ((1 - share) * ofTarget + share * temperature * (Math.exp(logStudent) - p));
      }
      this.lossSum += weight * ((1 - share) * loss + share * temperature ** 2 * divergence);
      this.divergenceSum += weight * divergence;
    }
    this.#g.release(teacher);
  }
}

/** log Σ exp(row / temperature), and the index of the highest. */
function logSum(row: Floats, temperature: number): { readonly value: number; readonly top: number } {
  let top = 0;
  for (let v = 1; v < row.length; v++) if (row[v] > row[top]) top = v;
  const highest = row[top] / temperature;
  let sum = 0;
  for (let v = 0; v < row.length; v++) sum += Math.exp(row[v] / temperature - highest);
  return { value: highest + Math.log(sum), top };
}
