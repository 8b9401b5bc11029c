/** Causal attention with grouped key-value heads: T rows, H query heads, G key-value heads, E head width. */
import { bf16FromFloat, floatFromBf16 } from '../../base/index.ts';
import type { AttentionShape, CachedNumbers, Floats, PagedRows } from '../kernels.ts';
import { requireLength } from './lengths.ts';

/** The rows that each row sees, up to itself: those of the places of its segment, from its first place on back. */
function* keyRowsOf(
  segmentStarts_X: Int32Array,
  rows_X: Int32Array | undefined,
  T: number,
): Generator<[row: number, keyRows: number[]]> {
  const X = rows_X?.length ?? T;
  requireLength('segmentStarts', segmentStarts_X, X);
  let next = 0;
  for (let x = 0; x < X; x++) {
    const rowOf = (place: number): number => rows_X?.[place] ?? place;
    if (rowOf(x) < next) continue;
    next++;
    yield [rowOf(x), Array.from({ length: x + 1 - segmentStarts_X[x] }, (_, n) => rowOf(segmentStarts_X[x] + n))];
  }
}

/** See `Kernels.attentionForward`. lse_TH gets log Σ exp(score). */
export function attentionForward(
  out_THE: Floats,
  lse_TH: Floats,
  q_THE: Floats,
  k_TGE: Floats,
  v_TGE: Floats,
  segmentStarts_X: Int32Array,
  shape: AttentionShape,
  rows_X?: Int32Array,
): void {
  const { T, H, G, E } = shape;
  requireLength('out', out_THE, T * H * E);
  requireLength('lse', lse_TH, T * H);
  requireLength('q', q_THE, T * H * E);
  requireLength('k', k_TGE, T * G * E);
  requireLength('v', v_TGE, T * G * E);
  for (const [t, keyRows] of keyRowsOf(segmentStarts_X, rows_X, T)) {
    for (let h = 0; h < H; h++) {
      lse_TH[t * H + h] = attendHead(out_THE, q_THE, k_TGE, v_TGE, t, h, keyRows, shape);
    }
  }
}

/**
 * With p = exp(score − lse), delta = dout · out and ds = p · (dout·v − delta) · scale (Dao et al., 2022):
 * dq = Σ ds·k over the keys, dk = Σ ds·q and dv = Σ p·dout over the rows and query heads that see the key.
 */
export function attentionBackward(
  dq_THE: Floats,
  dk_TGE: Floats,
  dv_TGE: Floats,
  dout_THE: Floats,
  out_THE: Floats,
  lse_TH: Floats,
  q_THE: Floats,
  k_TGE: Floats,
  v_TGE: Floats,
  segmentStarts_X: Int32Array,
  shape: AttentionShape,
  rows_X?: Int32Array,
): void {
  const { T, H, G, E, scale } = shape;
  requireLength('dq', dq_THE, T * H * E);
  requireLength('dk', dk_TGE, T * G * E);
  requireLength('dv', dv_TGE, T * G * E);
  requireLength('dout', dout_THE, T * H * E);
  requireLength('lse', lse_TH, T * H);
  // The sums are held in float64 until the end, whatever the outputs' type.
  const dq = new Float64Array(dq_THE.length);
  const dk = new Float64Array(dk_TGE.length);
  const dv = new Float64Array(dv_TGE.length);
  for (const [t, keyRows] of keyRowsOf(segmentStarts_X, rows_X, T)) {
    for (let h = 0; h < H; h++) {
      const row = (t * H + h) * E;
      const delta = dot(dout_THE, row, out_THE, row, E);
      for (const j of keyRows) {
        const key = (j * G + Math.floor((h * G) / H)) * E;
        const p = Math.exp(scale * dot(q_THE, row, k_TGE, key, E) - lse_TH[t * H + h]);
        const ds = p * (dot(dout_THE, row, v_TGE, key, E) - delta) * scale;
        for (let e = 0; e < E; e++) {
          dq[row + e] += ds * k_TGE[key + e];
          dk[key + e] += ds * q_THE[row + e];
          dv[key + e] += p * dout_THE[row + e];
        }
      }
    }
  }
  dq_THE.set(dq);
  dk_TGE.set(dk);
  dv_TGE.set(dv);
}

/** Where element e of key-value head g lies in the caches, for a position of row t's sequence. */
function placeOf(rows: PagedRows, { G, E }: AttentionShape, t: number, position: number) {
  const { rowSequences, blockTables, maxBlocks, blockSize } = rows;
  const block = blockTables[rowSequences[t] * maxBlocks + Math.floor(position / blockSize)];
  const place = position % blockSize;
  return {
    key: (g: number, e: number) => ((block * G + g) * E + e) * blockSize + place,
    value: (g: number, e: number) => ((block * G + g) * blockSize + place) * E + e,
  };
}

function write(cache: CachedNumbers, index: number, value: number): void {
  cache[index] = cache instanceof Uint16Array ? bf16FromFloat(value) : value;
}

function read(cache: CachedNumbers, index: number): number {
  return cache instanceof Uint16Array ? floatFromBf16(cache[index]) : cache[index];
}

/** Row t's key and value become those of position contextLengths[t] − 1 of its sequence. */
export function cacheKeyValues(
  kCache: CachedNumbers,
  vCache: CachedNumbers,
  k_TGE: Floats,
  v_TGE: Floats,
  rows: PagedRows,
  shape: AttentionShape,
): void {
  const { T, G, E } = shape;
  const { rowSequences, contextLengths } = rows;
  requireLength('k', k_TGE, T * G * E);
  requireLength('v', v_TGE, T * G * E);
  requireLength('rowSequences', rowSequences, T);
  requireLength('contextLengths', contextLengths, T);
  for (let t = 0; t < T; t++) {
    const place = placeOf(rows, shape, t, contextLengths[t] - 1);
    for (let i = 0; i < G * E; i++) {
      const [g, e] = [Math.floor(i / E), i % E];
      write(kCache, place.key(g, e), k_TGE[t * G * E + i]);
      write(vCache, place.value(g, e), v_TGE[t * G * E + i]);
    }
  }
}

/** Attention over cached keys: row t sees the first contextLengths[t] positions of its sequence, found through its blocks. */
export function attentionPaged(
  out_THE: Floats,
  q_THE: Floats,
  kCache: CachedNumbers,
  vCache: CachedNumbers,
  rows: PagedRows,
  shape: AttentionShape,
): void {
  const { T, H, G, E } = shape;
  const { rowSequences, contextLengths } = rows;
  requireLength('out', out_THE, T * H * E);
  requireLength('q', q_THE, T * H * E);
  requireLength('rowSequences', rowSequences, T);
  requireLength('contextLengths', contextLengths, T);
  for (let t = 0; t < T; t++) {
    const length = contextLengths[t];
    const [keys, values] = [new Float64Array(length * G * E), new Float64Array(length * G * E)];
    for (let position = 0; position < length; position++) {
      const place = placeOf(rows, shape, t, position);
      for (let i = 0; i < G * E; i++) {
        const [g, e] = [Math.floor(i / E), i % E];
        keys[position * G * E + i] = read(kCache, place.key(g, e));
        values[position * G * E + i] = read(vCache, place.value(g, e));
      }
    }
    const keyRows = Array.from({ length }, (_, position) => position);
    for (let h = 0; h < H; h++) attendHead(out_THE, q_THE, keys, values, t, h, keyRows, shape);
  }
}

/** Writes softmax(scale · q·Kᵀ) · V of one row and head over the listed key rows (zeros for none); returns log Σ exp(score). */
function attendHead(
  out_THE: Floats,
  q_THE: Floats,
  k: Floats,
  v: Floats,
  t: number,
  h: number,
  keyRows: readonly number[],
  shape: AttentionShape,
): number {
  const { H, G, E, scale } = shape;
  const row = (t * H + h) * E;
  const keys = keyRows.map((keyRow) => (keyRow * G + Math.floor((h * G) / H)) * E);
  const scores = keys.map((key) => scale * dot(q_THE, row, k, key, E));
  const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map((score) => Math.exp(score - highest));
  const total = weights.reduce((a, b) => a + b, 0);
  for (let e = 0; e < E; e++) {
    let sum = 0;
    for (const [j, key] of keys.entries()) sum += weights[j] * v[key + e];
    out_THE[row + e] = keys.length === 0 ? 0 : sum / total;
  }
  return highest + Math.log(total);
}

function dot(a: Floats, aStart: number, b: Floats, bStart: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aStart + i] * b[bStart + i];
  return sum;
}
