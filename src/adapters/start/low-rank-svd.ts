/**
 * The largest singular values of a matrix and their vectors: what initialisations of LoRA are made of. `singularParts` of numeric finds all of
 * them, at O·I·min(O, I): an adapter that is combined or converted is decomposed once, and what is left out is told. A start needs a few
 * of every layer before the first step, so here as many vectors as are asked for are iterated, by the kernels' products.
 */
import { assert, Rng } from '../../base/index.ts';
import type { Floats, Kernels } from '../../numeric/index.ts';
import { zerosLike } from '../dense.ts';

/** m_OI ≈ Σ_k values[k] · u_k · v_kᵀ, the values falling. Signs of pairs are as they come. */
export interface LowRankSvd {
  readonly values: Float64Array;
  /** [K, O] */
  readonly u_KO: Floats;
  /** [K, I] */
  readonly v_KI: Floats;
}

/** Rows of the iterated basis beside those that are asked for: they make the others converge sooner. */
const OVERSAMPLING = 8;
const MAX_ITERATIONS = 150;
/** Between looks at whether the vectors still move. */
const LOOK_EVERY = 5;
/** The length of a change of a vector: a little above float32's rounding in products of this size. */
const SETTLED = 2e-6;

/**
 * The `rank` largest singular values and their vectors, by subspace iteration (Halko et al., 2011) until they stand still. Deterministic:
 * the same matrix gives the same bits, whatever the number of threads.
 */
export function lowRankSvd(kernels: Kernels, m_OI: Floats, O: number, I: number, rank: number): LowRankSvd {
  const least = Math.min(O, I);
  assert(rank <= least, `a matrix of ${O} by ${I} has no ${rank} singular values`);
  const P = Math.min(least, 2 * rank + OVERSAMPLING);
  const [basis, image] = [zerosLike(m_OI, P * I), zerosLike(m_OI, P * O)];
  const rng = Rng.fromSeed(0, 'low-rank svd');
  for (let i = 0; i < basis.length; i++) basis[i] = rng.nextNormal();
  orthonormalise(basis, P, I);
  let before: Floats | undefined;
  for (let iteration = 1; ; iteration++) {
    kernels.gemm(image, basis, m_OI, { M: P, N: O, K: I, transposeB: true });
    orthonormalise(image, P, O);
    kernels.gemm(basis, image, m_OI, { M: P, N: I, K: O });
    if (iteration % LOOK_EVERY === 0) {
      const found = inSubspace(kernels, image, basis, { O, I, P, rank });
      if (iteration >= MAX_ITERATIONS || (before && distance(found.v_KI, before, I) < SETTLED)) return found;
      before = found.v_KI;
    }
    orthonormalise(basis, P, I);
  }
}

/** The decomposition of imageᵀ · projected, image being an orthonormal basis [P, O] and projected = image · m, [P, I]. */
function inSubspace(
  kernels: Kernels,
  image: Floats,
  projected: Floats,
  { O, I, P, rank }: { readonly O: number; readonly I: number; readonly P: number; readonly rank: number },
): LowRankSvd {
  const gram = new Float64Array(P * P);
  for (let p = 0; p < P; p++) {
    for (let q = 0; q <= p; q++) {
      let sum = 0;
      for (let i = 0; i < I; i++) sum += projected[p * I + i] * projected[q * I + i];
      gram[p * P + q] = sum;
      gram[q * P + p] = sum;
    }
  }
  const { values: squares, vectors } = symmetricEigen(gram, P);
  const values = squares.slice(0, rank).map((square) => Math.sqrt(Math.max(0, square)));
  const weights = zerosLike(image, rank * P);
  weights.set(vectors.subarray(0, rank * P));
  const [u_KO, v_KI] = [zerosLike(image, rank * O), zerosLike(image, rank * I)];
  kernels.gemm(u_KO, weights, image, { M: rank, N: O, K: P });
  kernels.gemm(v_KI, weights, projected, { M: rank, N: I, K: P });
  for (let k = 0; k < rank; k++) {
    const inverse = values[k] > 0 ? 1 / values[k] : 0;
    for (let i = k * I; i < (k + 1) * I; i++) v_KI[i] = v_KI[i] * inverse;
  }
  return { values, u_KO, v_KI };
}

/** The eigenvalues of a symmetric matrix, falling, and its eigenvectors as rows: Jacobi's cyclic rotations. */
export function symmetricEigen(
  matrix: Float64Array,
  n: number,
): { readonly values: Float64Array; readonly vectors: Float64Array } {
  const a = matrix.slice();
  const v = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
  const total = a.reduce((sum, value) => sum + value * value, 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += a[p * n + q] ** 2;
    if (off <= total * 1e-30) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p * n + q] === 0) continue;
        const theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotate(a, v, n, { p, q, c, s: t * c });
      }
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((x, y) => a[y * n + y] - a[x * n + x]);
  const vectors = new Float64Array(n * n);
  for (const [row, column] of order.entries()) vectors.set(v.subarray(column * n, (column + 1) * n), row * n);
  return { values: Float64Array.from(order, (at) => a[at * n + at]), vectors };
}

/** a := Jᵀ·a·J and v := Jᵀ·v for the rotation J of p and q by cosine c and sine s. */
function rotate(
  a: Float64Array,
  v: Float64Array,
  n: number,
  { p, q, c, s }: { readonly p: number; readonly q: number; readonly c: number; readonly s: number },
): void {
  for (let k = 0; k < n; k++) {
    const [x, y] = [a[k * n + p], a[k * n + q]];
    a[k * n + p] = c * x - s * y;
    a[k * n + q] = s * x + c * y;
  }
  for (const m of [a, v]) {
    for (let k = 0; k < n; k++) {
      const [x, y] = [m[p * n + k], m[q * n + k]];
      m[p * n + k] = c * x - s * y;
      m[q * n + k] = s * x + c * y;
    }
  }
}

/** Rows made orthonormal in their order (Gram and Schmidt, twice), in float64 and in place. A row that is nothing new becomes zero. */
export function orthonormalise(rows: Floats, R: number, N: number): void {
  const done: Float64Array[] = [];
  for (let r = 0; r < R; r++) {
    const row = Float64Array.from(rows.subarray(r * N, (r + 1) * N));
    const length = norm(row);
    for (let pass = 0; pass < 2; pass++) {
      for (const other of done) {
        let along = 0;
        for (let i = 0; i < N; i++) along += other[i] * row[i];
        for (let i = 0; i < N; i++) row[i] -= along * other[i];
      }
    }
    const left = norm(row);
    const inverse = left > 1e-12 * length ? 1 / left : 0;
    for (let i = 0; i < N; i++) row[i] *= inverse;
    rows.set(row, r * N);
    if (inverse > 0) done.push(row);
  }
}

function norm(row: Float64Array): number {
  let sum = 0;
  for (const value of row) sum += value * value;
  return Math.sqrt(sum);
}

/** The largest distance of a row from the same row before, up to its sign. */
function distance(rows: Floats, before: Floats, N: number): number {
  let worst = 0;
  for (let begin = 0; begin < rows.length; begin += N) {
    let [plus, minus] = [0, 0];
    for (let i = begin; i < begin + N; i++) {
      plus += (rows[i] - before[i]) ** 2;
      minus += (rows[i] + before[i]) ** 2;
    }
    worst = Math.max(worst, Math.min(plus, minus));
  }
  return Math.sqrt(worst);
}
