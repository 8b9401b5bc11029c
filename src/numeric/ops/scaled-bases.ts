import type { Graph } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/**
 * RandLoRA's scaled bases (Albert et al., 2025): row k·N + n of [R·N, S] is λ[k, n] · basis[k] ⊙ γ[n], with a frozen basis_RS, λ_RN and γ_NS.
 */
export function scaledBases(g: Graph, basis_RS: Tensor, lambda_RN: Tensor, gamma_NS: Tensor): Tensor {
  const [R, N] = lambda_RN.shape as [number, number];
  const S = gamma_NS.shape[1];
  const y = g.empty([R * N, S]);
  for (let row = 0; row < R * N; row++) {
    const [k, n] = [Math.floor(row / N), row % N];
    for (let s = 0; s < S; s++) {
      y.data[row * S + s] = lambda_RN.data[row] * basis_RS.data[k * S + s] * gamma_NS.data[n * S + s];
    }
  }
  g.record(y, [lambda_RN, gamma_NS], [lambda_RN, gamma_NS], (dy) => {
    const dLambda = g.needsGradient(lambda_RN) ? zeroedGradient(g, lambda_RN) : undefined;
    const dGamma = g.needsGradient(gamma_NS) ? zeroedGradient(g, gamma_NS) : undefined;
    for (let row = 0; row < R * N; row++) {
      const [k, n] = [Math.floor(row / N), row % N];
      let sum = 0;
      for (let s = 0; s < S; s++) {
        const d = dy.data[row * S + s] * basis_RS.data[k * S + s];
        sum += d * gamma_NS.data[n * S + s];
        if (dGamma) dGamma[n * S + s] = dGamma[n * S + s] + d * lambda_RN.data[row];
      }
      if (dLambda) dLambda[row] = dLambda[row] + sum;
    }
  });
  return y;
}
