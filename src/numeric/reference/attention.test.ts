import { test } from 'node:test';
import { centralDifferences, inner } from '../../../test/support/central-differences.ts';
import { normalArray, segmentStartsOf } from '../../../test/support/random-arrays.ts';
import { assertBitEqual, assertClose } from '../compare.ts';
import { attentionBackward, attentionForward, attentionPaged } from './attention.ts';

const [T, H, G, E] = [7, 4, 2, 3];
const shape = { T, H, G, E, scale: 0.6 };
const starts = segmentStartsOf([3, 1, 2, 1]);
const q = normalArray(T * H * E, 'q');
const k = normalArray(T * G * E, 'k');
const v = normalArray(T * G * E, 'v');

function forward(): { out: Float64Array; lse: Float64Array } {
  const [out, lse] = [new Float64Array(T * H * E), new Float64Array(T * H)];
  attentionForward(out, lse, q, k, v, starts, shape);
  return { out, lse };
}

test('attention by hand: the second row weighs its keys 1 to 3', () => {
  const one = { T: 2, H: 1, G: 1, E: 1, scale: 0.5 };
  const [out, lse] = [new Float64Array(2), new Float64Array(2)];
  const keys = Float64Array.of(0, Math.log(9));
  attentionForward(out, lse, Float64Array.of(5, 1), keys, Float64Array.of(8, 4), Int32Array.of(0, 0), one);
  assertClose(out, [8, (8 + 3 * 4) / 4], 'f64');
  assertClose(lse, [0, Math.log(4)], 'f64');
});

test('a row sees nothing after itself and nothing of other segments', () => {
  const { out } = forward();
  for (let changed = 0; changed < T; changed++) {
    const [k2, v2] = [k.slice(), v.slice()];
    k2.fill(99, changed * G * E, (changed + 1) * G * E);
    v2.fill(99, changed * G * E, (changed + 1) * G * E);
    const out2 = new Float64Array(out.length);
    attentionForward(out2, new Float64Array(T * H), q, k2, v2, starts, shape);
    for (let t = 0; t < T; t++) {
      const sees = starts[t] <= changed && changed <= t;
      const at = [t * H * E, (t + 1) * H * E] as const;
      const isSame = out.subarray(...at).every((value, i) => value === out2.subarray(...at)[i]);
      if (isSame === sees) throw new Error(`row ${t} must ${sees ? '' : 'not '}see row ${changed}`);
    }
  }
});

test('query head h reads key-value head floor(h·G/H)', () => {
  const { out, lse } = forward();
  const alone = { T, H: 1, G: 1, E, scale: shape.scale };
  const headOf = (x: Float64Array, heads: number, h: number): Float64Array =>
    x.filter((_, i) => Math.floor(i / E) % heads === h);
  for (let h = 0; h < H; h++) {
    const g = [0, 0, 1, 1][h];
    const [outAlone, lseAlone] = [new Float64Array(T * E), new Float64Array(T)];
    attentionForward(outAlone, lseAlone, headOf(q, H, h), headOf(k, G, g), headOf(v, G, g), starts, alone);
    assertBitEqual(outAlone, headOf(out, H, h));
    assertBitEqual(
      lseAlone,
      lse.filter((_, i) => i % H === h),
    );
  }
});

test("attention's backward is its central difference in q, k and v", () => {
  const dout = normalArray(T * H * E, 'dout');
  const { out, lse } = forward();
  const [dq, dk, dv] = [q, k, v].map((x) => new Float64Array(x.length).fill(NaN));
  attentionBackward(dq, dk, dv, dout, out, lse, q, k, v, starts, shape);
  const loss = (): number => inner(forward().out, dout);
  assertClose(dq, centralDifferences(loss, q), 'centralDifference', 'dq');
  assertClose(dk, centralDifferences(loss, k), 'centralDifference', 'dk');
  assertClose(dv, centralDifferences(loss, v), 'centralDifference', 'dv');
});

test('scores far beyond exp of a float64 keep finite weights', () => {
  const one = { T: 2, H: 1, G: 1, E: 1, scale: 1 };
  const [out, lse] = [new Float64Array(2), new Float64Array(2)];
  const ones = Float64Array.of(1, 1);
  attentionForward(out, lse, ones, Float64Array.of(5000, 5000), Float64Array.of(2, 4), Int32Array.of(0, 0), one);
  assertClose(out, [2, 3], 'f64');
  assertClose(lse, [5000, 5000 + Math.LN2], 'f64');
});

test('paged attention is attention, with blocks in any order', () => {
  const { out } = forward();
  // Segments of 3, 1, 2 and 1 rows in blocks of 2: the last two blocks of the cache are nobody's.
  const [blockSize, maxBlocks] = [2, 2];
  const blockTables = Int32Array.of(4, 1, 0, -1, 3, -1, 2, -1);
  // Keys stand transposed in their block, [G, E, blockSize]; values are [G, blockSize, E].
  const places = [
    [4, 0],
    [4, 1],
    [1, 0],
    [0, 0],
    [3, 0],
    [3, 1],
    [2, 0],
  ];
  const [kCache, vCache] = [new Float64Array(14 * G * E).fill(NaN), new Float64Array(14 * G * E).fill(NaN)];
  for (const [t, [block, place]] of places.entries()) {
    for (let g = 0; g < G; g++) {
      for (let e = 0; e < E; e++) {
        kCache[((block * G + g) * E + e) * blockSize + place] = k[(t * G + g) * E + e];
        vCache[((block * G + g) * blockSize + place) * E + e] = v[(t * G + g) * E + e];
      }
    }
  }
  const rowSequences = Int32Array.of(0, 0, 0, 1, 2, 2, 3);
  const contextLengths = Int32Array.of(1, 2, 3, 1, 1, 2, 1);
  const paged = new Float64Array(out.length);
  attentionPaged(paged, q, kCache, vCache, { rowSequences, contextLengths, blockTables, maxBlocks, blockSize }, shape);
  assertBitEqual(paged, out);
});
