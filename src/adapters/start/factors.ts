/** First values of a LoRA's A and B that are made of a matrix: the base's weight, what quantisation took of it, its gradient, its inputs. */
import { fail } from '../../base/index.ts';
import type { Floats, Kernels, Tensor } from '../../numeric/index.ts';
import { zerosLike } from '../dense.ts';
import { lowRankSvd, orthonormalise, type LowRankSvd } from './low-rank-svd.ts';

/** B·A of a module. */
export interface LoraPair {
  readonly a_RI: Tensor;
  readonly b_OR: Tensor;
}

/** A module's layer, and the LoRA on it. */
export interface StartSite {
  readonly kernels: Kernels;
  readonly path: string;
  readonly in: number;
  readonly out: number;
  readonly rank: number;
  /** What B·A is multiplied with. */
  readonly scale: number;
}

/** PiSSA (Meng et al., 2024): the largest singular values of W, their roots on both sides; s·B·A is W's principal part. */
export function pissaFactors(site: StartSite, weight_OI: Floats): LoraPair {
  return fromSvd(site, svdOf(site, weight_OI, site.rank));
}

/**
 * LoftQ (Li et al., 2023) after one iteration: what is the best of its rank of W − Q, the base being Q, the quantised W. The product is divided by
 * the scale, so that s·B·A is that part (PEFT leaves the scale out, and is right for alpha = r).
 */
export function loftqFactors(site: StartSite, original_OI: Floats, served_OI: Floats): LoraPair {
  const lost = served_OI.map((value, i) => original_OI[i] - value);
  return fromSvd(site, svdOf(site, lost, site.rank));
}

/** OLoRA (Büyükakyüz, 2024): B is the first columns of W's orthogonal factor, A the first rows of its triangular one. */
export function oloraFactors(site: StartSite, weight_OI: Floats): LoraPair {
  const { kernels, in: I, out: O, rank: R } = site;
  requireRank(site, R);
  const q_RO = zerosLike(weight_OI, R * O);
  for (let r = 0; r < R; r++) for (let o = 0; o < O; o++) q_RO[r * O + o] = weight_OI[o * I + r];
  orthonormalise(q_RO, R, O);
  const a_RI = zerosLike(weight_OI, R * I);
  kernels.gemm(a_RI, q_RO, weight_OI, { M: R, N: I, K: O });
  return { a_RI: { shape: [R, I], data: a_RI }, b_OR: transposed(q_RO, R, O) };
}

/**
 * LoRA-GA (Wang et al., 2024) as PEFT's default makes it: of the gradient's singular vectors A has the first r on the right, B the next r on the
 * left, with their values and PEFT's stable scale out^¼/√γ.
 */
export function loraGaFactors(site: StartSite, gradient_OI: Floats, gamma = 16): LoraPair {
  const { in: I, out: O, rank: R } = site;
  const { values, u_KO, v_KI } = svdOf(site, gradient_OI, 2 * R);
  const factor = O ** 0.25 / Math.sqrt(gamma);
  const left = u_KO.slice(R * O);
  for (let i = 0; i < left.length; i++) left[i] = left[i] * values[R + Math.floor(i / O)] * factor;
  return { a_RI: { shape: [R, I], data: v_KI.slice(0, R * I) }, b_OR: transposed(left, R, O) };
}

/**
 * EVA (Paischer et al., 2024) with the same rank everywhere: A has the principal components of the layer's inputs, B is zero.
 * @param scatter_II Σ (x − mean)·(x − mean)ᵀ
 */
export function evaFactors(site: StartSite, scatter_II: Floats): LoraPair {
  const { kernels, path, in: I, out: O, rank: R } = site;
  if (R > I) refuseRank(path, R, I, R);
  const { v_KI } = lowRankSvd(kernels, scatter_II, I, I, R);
  return { a_RI: { shape: [R, I], data: v_KI }, b_OR: { shape: [O, R], data: zerosLike(v_KI, O * R) } };
}

function svdOf(site: StartSite, m_OI: Floats, rank: number): LowRankSvd {
  requireRank(site, rank);
  return lowRankSvd(site.kernels, m_OI, site.out, site.in, rank);
}

/** B·A·s is the decomposition, each side with the roots of its values. */
function fromSvd({ in: I, out: O, rank: R, scale }: StartSite, { values, u_KO, v_KI }: LowRankSvd): LoraPair {
  const roots = values.map((value) => Math.sqrt(value / scale));
  const [left, right] = [u_KO.slice(), v_KI.slice()];
  for (let i = 0; i < left.length; i++) left[i] = left[i] * roots[Math.floor(i / O)];
  for (let i = 0; i < right.length; i++) right[i] = right[i] * roots[Math.floor(i / I)];
  return { a_RI: { shape: [R, I], data: right }, b_OR: transposed(left, R, O) };
}

function transposed(rows_RO: Floats, R: number, O: number): Tensor {
  const data = zerosLike(rows_RO, R * O);
  for (let r = 0; r < R; r++) for (let o = 0; o < O; o++) data[o * R + r] = rows_RO[r * O + o];
  return { shape: [O, R], data };
}

function requireRank(site: StartSite, needed: number): void {
  const least = Math.min(site.in, site.out);
  if (needed > least) refuseRank(site.path, site.rank, least, needed);
}

function refuseRank(path: string, rank: number, least: number, needed: number): never {
  return fail(
    'CONFIG_INVALID',
    `rank ${rank} needs ${needed} singular values, ${path} has ${least}: take a lower one`,
    {
      param: 'rank',
    },
  );
}
