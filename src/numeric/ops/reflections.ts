/** Products of Householder reflections as low-rank changes of the identity (Bischof and Van Loan, 1987), from trainable normals. */
import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** The columns of u_IR as rows of length 1, [R, I]. */
export function unitRows(g: Graph, u_IR: Tensor): Tensor {
  const [I, R] = u_IR.shape as [number, number];
  const a_RI = g.empty([R, I]);
  const norms = new Float64Array(R);
  for (let r = 0; r < R; r++) {
    for (let i = 0; i < I; i++) norms[r] += u_IR.data[i * R + r] ** 2;
    norms[r] = Math.sqrt(norms[r]);
    for (let i = 0; i < I; i++) a_RI.data[r * I + i] = u_IR.data[i * R + r] / norms[r];
  }
  g.record(a_RI, [u_IR], [a_RI], (da) => {
    const du = zeroedGradient(g, u_IR);
    for (let r = 0; r < R; r++) {
      const along = dot(a_RI.data, da.data, r, r, I);
      for (let i = 0; i < I; i++) {
        du[i * R + r] = du[i * R + r] + (da.data[r * I + i] - along * a_RI.data[r * I + i]) / norms[r];
      }
    }
  });
  return a_RI;
}

/**
 * P [I, R] of H_1·H_2·…·H_R = I + P·a with the reflections H_r = I − 2·a_r·a_rᵀ, whose normals are the rows of a_RI, each of length 1:
 * P_r = −2·(a_r + Σ_{j<r} (a_j·a_r)·P_j).
 */
export function reflectionFactors(g: Graph, a_RI: Tensor): Tensor {
  const [R, I] = a_RI.shape as [number, number];
  const rows = new Float64Array(R * I);
  const cosines = new Float64Array(R * R);
  for (let r = 0; r < R; r++) {
    for (let i = 0; i < I; i++) rows[r * I + i] = -2 * a_RI.data[r * I + i];
    for (let j = 0; j < r; j++) {
      const cosine = dot(a_RI.data, a_RI.data, j, r, I);
      cosines[j * R + r] = cosine;
      for (let i = 0; i < I; i++) rows[r * I + i] -= 2 * cosine * rows[j * I + i];
    }
  }
  const p_IR = g.empty([I, R]);
  for (let r = 0; r < R; r++) for (let i = 0; i < I; i++) p_IR.data[i * R + r] = rows[r * I + i];
  g.record(p_IR, [a_RI], [a_RI], (dp) => {
    const da = zeroedGradient(g, a_RI);
    const dRows = Float64Array.from({ length: R * I }, (_, at) => dp.data[(at % I) * R + Math.floor(at / I)]);
    for (let r = R - 1; r >= 0; r--) {
      for (let i = 0; i < I; i++) da[r * I + i] = da[r * I + i] - 2 * dRows[r * I + i];
      for (let j = 0; j < r; j++) {
        const dCosine = -2 * dot(rows, dRows, j, r, I);
        for (let i = 0; i < I; i++) {
          dRows[j * I + i] -= 2 * cosines[j * R + r] * dRows[r * I + i];
          da[j * I + i] = da[j * I + i] + dCosine * a_RI.data[r * I + i];
          da[r * I + i] = da[r * I + i] + dCosine * a_RI.data[j * I + i];
        }
      }
    }
  });
  return p_IR;
}

/** Row a of x times row b of y, each of I numbers, in float64. */
function dot(x: Floats, y: Floats, a: number, b: number, I: number): number {
  let sum = 0;
  for (let i = 0; i < I; i++) sum += x[a * I + i] * y[b * I + i];
  return sum;
}
