import type { OftConfig } from '../../formats/index.ts';
import type { Floats, Graph, Kernels, Tensor } from '../../numeric/index.ts';
import { zerosLike } from '../dense.ts';
import { cayley, cayleyNeumann, neumannFactors, skewSymmetric } from './cayley.ts';

/**
 * OFT's blocks R_n [N, B, B] on the tape, from the upper triangles [N, B·(B−1)/2] of their skew matrices Q_n: Cayley's (I − Q)(I + Q)⁻¹,
 * or PEFT's truncated series of it.
 */
export function rotationsOnTape(g: Graph, config: OftConfig, upper: Tensor, B: number): Tensor {
  const [N, U] = upper.shape as [number, number];
  const blocks = g.empty([N, B, B]);
  const { use_cayley_neumann: isSeries, num_cayley_neumann_terms: terms } = config;
  const skewOf = (n: number): Floats => skewSymmetric(upper.data.subarray(n * U, (n + 1) * U), B);
  for (let n = 0; n < N; n++) {
    blocks.data.set(isSeries ? cayleyNeumann(g.kernels, skewOf(n), B, terms) : cayley(skewOf(n), B), n * B * B);
  }
  g.record(blocks, [upper], [upper, blocks], (dBlocks) => {
    const slot = g.gradient(upper);
    if (!slot.accumulate) slot.tensor.data.fill(0);
    const dUpper = slot.tensor.data;
    for (let n = 0; n < N; n++) {
      const range = [n * B * B, (n + 1) * B * B] as const;
      const dBlock = dBlocks.data.subarray(...range);
      const dSkew = isSeries
        ? seriesBackward(g.kernels, skewOf(n), dBlock, B, neumannFactors(terms))
        : cayleyBackward(g.kernels, blocks.data.subarray(...range), dBlock, B);
      let next = n * U;
      for (let row = 0; row < B; row++) {
        for (let column = row + 1; column < B; column++, next++) {
          dUpper[next] = dUpper[next] + (dSkew[row * B + column] - dSkew[column * B + row]);
        }
      }
    }
  });
  return blocks;
}

/** Blocks R_n [N, B, B] on the tape from unconstrained matrices [.., N, B, B]: Cayley's, of the skew parts ½·(M − Mᵀ), as PEFT's BOFT. */
export function skewRotationsOnTape(g: Graph, matrices: Tensor, B: number): Tensor {
  const N = matrices.data.length / (B * B);
  const blocks = g.empty([N, B, B]);
  for (let n = 0; n < N; n++) blocks.data.set(cayley(skewPart(matrices.data, n, B), B), n * B * B);
  g.record(blocks, [matrices], [blocks], (dBlocks) => {
    const slot = g.gradient(matrices);
    if (!slot.accumulate) slot.tensor.data.fill(0);
    const dMatrices = slot.tensor.data;
    for (let n = 0; n < N; n++) {
      const range = [n * B * B, (n + 1) * B * B] as const;
      const dSkew = cayleyBackward(g.kernels, blocks.data.subarray(...range), dBlocks.data.subarray(...range), B);
      for (let i = 0; i < B * B; i++) {
        const mirrored = (i % B) * B + Math.floor(i / B);
        dMatrices[range[0] + i] = dMatrices[range[0] + i] + (dSkew[i] - dSkew[mirrored]) / 2;
      }
    }
  });
  return blocks;
}

/** ½·(M_n − M_nᵀ) */
export function skewPart(matrices: Floats, n: number, B: number): Floats {
  const matrix = matrices.subarray(n * B * B, (n + 1) * B * B);
  return matrix.map((value, i) => (value - matrix[(i % B) * B + Math.floor(i / B)]) / 2);
}

/** W := W·Rᵀ, block by block, in place: W'[o, n·B + k] = Σ_c W[o, n·B + c] · R_n[k, c]. One block [1, B, B] is for all. */
export function rotateWeight(kernels: Kernels, weight_OI: Floats, { shape, data }: Tensor, I: number): void {
  const [N, B] = shape as [number, number];
  const O = weight_OI.length / I;
  const before = zerosLike(weight_OI, O * B);
  const after = zerosLike(weight_OI, O * B);
  for (let column = 0; column < I; column += B) {
    const block = data.subarray(N === 1 ? 0 : column * B).subarray(0, B * B);
    for (let o = 0; o < O; o++) {
      const begin = o * I + column;
      before.set(weight_OI.subarray(begin, begin + B), o * B);
    }
    kernels.gemm(after, before, block, { M: O, N: B, K: B, transposeB: true });
    for (let o = 0; o < O; o++) weight_OI.set(after.subarray(o * B, (o + 1) * B), o * I + column);
  }
}

/** dQ = −½·(I + R)ᵀ · dR · (I + R)ᵀ, since dR = −(I + R) · dQ · (I + Q)⁻¹ and (I + Q)⁻¹ = (I + R)/2. */
function cayleyBackward(kernels: Kernels, block: Floats, dBlock: Floats, B: number): Floats {
  const onePlus = block.map((value, i) => value + (i % (B + 1) === 0 ? 1 : 0));
  const [left, dSkew] = [zerosLike(block, B * B), zerosLike(block, B * B)];
  kernels.gemm(left, onePlus, dBlock, { M: B, N: B, K: B, transposeA: true });
  kernels.gemm(dSkew, left, onePlus, { M: B, N: B, K: B, transposeB: true, alpha: -0.5 });
  return dSkew;
}

/** The adjoint of Σ_k factors[k]·Q^k, by its powers from the highest down: P_k = P_{k−1}·Q. */
function seriesBackward(kernels: Kernels, skew: Floats, dBlock: Floats, B: number, factors: readonly number[]): Floats {
  const shape = { M: B, N: B, K: B };
  const identity = zerosLike(skew, B * B);
  for (let i = 0; i < identity.length; i += B + 1) identity[i] = 1;
  const powers: Floats[] = [identity];
  for (let k = 1; k < factors.length - 1; k++) {
    const next = zerosLike(skew, B * B);
    kernels.gemm(next, powers[k - 1], skew, shape);
    powers.push(next);
  }
  const dSkew = zerosLike(skew, B * B);
  let dPower = zerosLike(skew, B * B);
  for (let k = factors.length - 1; k >= 1; k--) {
    kernels.axpy(dPower, dBlock, factors[k]);
    kernels.gemm(dSkew, powers[k - 1], dPower, { ...shape, transposeA: true, accumulate: true });
    const before = zerosLike(skew, B * B);
    kernels.gemm(before, dPower, skew, { ...shape, transposeB: true });
    dPower = before;
  }
  return dSkew;
}
