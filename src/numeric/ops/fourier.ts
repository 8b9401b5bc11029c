import type { Graph } from '../graph.ts';
import type { Floats } from '../kernels.ts';
import type { Tensor } from '../tensor.ts';
import { zeroedGradient } from './contribution.ts';

/** Where the frequencies of a spectrum stand in a matrix [O, I]. */
export interface Frequencies {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
  readonly O: number;
  readonly I: number;
}

/**
 * scale · the real part of the inverse two-dimensional Fourier transform of a matrix that holds `spectrum_N` at some places and zeros
 * elsewhere, [O, I]: scale/(O·I) · Σ_n c_n · cos(2π(p_n·o/O + q_n·i/I)). The sum over the columns is sparse, that over the rows two products
 * of matrices, whatever the number of frequencies.
 */
export function inverseFourier(g: Graph, spectrum_N: Tensor, at: Frequencies, scale: number): Tensor {
  const { O, I } = at;
  const factor = scale / (O * I);
  const waves = wavesOf(I);
  const delta = g.empty([O, I]);
  const [even, odd, wave] = [g.empty([O, I]), g.empty([O, I]), g.empty([O, O])];
  even.data.fill(0);
  odd.data.fill(0);
  for (let n = 0; n < spectrum_N.data.length; n++) {
    const [begin, q, value] = [at.rows[n] * I, at.columns[n], spectrum_N.data[n]];
    for (let i = 0, phase = 0; i < I; i++, phase = (phase + q) % I) {
      even.data[begin + i] = even.data[begin + i] + value * waves.cos[phase];
      odd.data[begin + i] = odd.data[begin + i] + value * waves.sin[phase];
    }
  }
  const shape = { M: O, N: I, K: O };
  fillWaves(wave.data, O, wavesOf(O).cos);
  g.kernels.gemm(delta.data, wave.data, even.data, { ...shape, alpha: factor });
  fillWaves(wave.data, O, wavesOf(O).sin);
  g.kernels.gemm(delta.data, wave.data, odd.data, { ...shape, alpha: -factor, accumulate: true });
  for (const scratch of [even, odd, wave]) g.release(scratch);
  g.record(delta, [spectrum_N], [], (dDelta) => {
    const dSpectrum = zeroedGradient(g, spectrum_N);
    const [dEven, dOdd, again] = [g.empty([O, I]), g.empty([O, I]), g.empty([O, O])];
    fillWaves(again.data, O, wavesOf(O).cos);
    g.kernels.gemm(dEven.data, again.data, dDelta.data, { ...shape, alpha: factor });
    fillWaves(again.data, O, wavesOf(O).sin);
    g.kernels.gemm(dOdd.data, again.data, dDelta.data, { ...shape, alpha: -factor });
    for (let n = 0; n < dSpectrum.length; n++) {
      const [begin, q] = [at.rows[n] * I, at.columns[n]];
      let sum = 0;
      for (let i = 0, phase = 0; i < I; i++, phase = (phase + q) % I) {
        sum += dEven.data[begin + i] * waves.cos[phase] + dOdd.data[begin + i] * waves.sin[phase];
      }
      dSpectrum[n] = dSpectrum[n] + sum;
    }
    for (const scratch of [dEven, dOdd, again]) g.release(scratch);
  });
  return delta;
}

/** One turn of the cosine and the sine in `length` steps. */
function wavesOf(length: number): { readonly cos: Float64Array; readonly sin: Float64Array } {
  const turn = (of: (angle: number) => number): Float64Array =>
    Float64Array.from({ length }, (_, i) => of((2 * Math.PI * i) / length));
  return { cos: turn(Math.cos), sin: turn(Math.sin) };
}

/** wave[o, p] = turn[o·p mod O], a symmetric matrix. */
function fillWaves(wave: Floats, O: number, turn: Float64Array): void {
  for (let o = 0; o < O; o++) {
    for (let p = 0, phase = 0; p < O; p++, phase = (phase + o) % O) wave[o * O + p] = turn[phase];
  }
}
