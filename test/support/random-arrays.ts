/** Arrays for tests whose contents depend on a seed and a name alone. */
import { Rng } from '../../src/base/index.ts';

/** `length` standard normal numbers; other names give other numbers. */
export function normalArray(length: number, name: string, seed = 0): Float64Array {
  const rng = Rng.fromSeed(seed, name);
  return Float64Array.from({ length }, () => rng.nextNormal());
}

/** `length` whole numbers in [0, bound). */
export function indexArray(length: number, bound: number, name: string, seed = 0): Int32Array {
  const rng = Rng.fromSeed(seed, name);
  return Int32Array.from({ length }, () => rng.nextBelow(bound));
}

/** Where each row's segment starts, for segments of these lengths one after the other. */
export function segmentStartsOf(lengths: readonly number[]): Int32Array {
  const starts: number[] = [];
  for (const length of lengths) {
    const start = starts.length;
    for (let row = 0; row < length; row++) starts.push(start);
  }
  return Int32Array.from(starts);
}

/** [numPositions, E] as the rope kernel reads it: E/2 cosines, then E/2 sines, of position · 10000^(−2i/E). */
export function cosSinTable(numPositions: number, E: number): Float64Array {
  const half = E / 2;
  return Float64Array.from({ length: numPositions * E }, (_, index) => {
    const position = Math.floor(index / E);
    const i = index % E;
    const angle = position * 10000 ** (-(i % half) / half);
    return i < half ? Math.cos(angle) : Math.sin(angle);
  });
}
