import { assert, broken } from '../base/index.ts';
import type { AttentionShape, CachedNumbers, Floats, Kernels, PagedRows } from './kernels.ts';
import { type Addon, floats, indices, integers, size, words } from './native-addon.ts';

type Rows = Pick<
  Kernels,
  | 'rmsNormForward'
  | 'rmsNormBackward'
  | 'rope'
  | 'swigluForward'
  | 'swigluBackward'
  | 'attentionForward'
  | 'attentionBackward'
  | 'cacheKeyValues'
  | 'attentionPaged'
  | 'argmaxRows'
  | 'axpy'
  | 'sumSquares'
  | 'adamW'
>;

function checkAttention({ T, H, G, E, scale }: AttentionShape): void {
  size('T', T);
  size('E', E);
  if (size('H', H) === 0 || size('G', G) === 0 || H % G !== 0) {
    broken(`${H} query heads do not share ${G} key-value heads evenly`);
  }
  if (!Number.isFinite(scale)) broken(`the scale ${scale} is not a number`);
}

const NO_ROWS = new Int32Array(0);

/** A place's segment begins at a place in [0, x]. @returns the addon's arguments: no rows where every place is one */
function segments(starts_X: Int32Array, rows_X: Int32Array | undefined, T: number): [Int32Array, Int32Array] {
  const X = rows_X?.length ?? T;
  integers('segmentStarts', starts_X, X);
  for (let x = 0; x < X; x++) {
    const start = starts_X[x];
    if (start < 0 || start > x) broken(`the segment of place ${x} begins at place ${start}`);
  }
  return [starts_X, rows_X ? indices('rows', rows_X, X, T) : NO_ROWS];
}

/** An output may be the same array as dy, but nothing may share memory otherwise. */
function isApartOrSame(a: Floats, b: Floats): boolean {
  if (a.buffer !== b.buffer || a.length === 0) return true;
  const isSame = a.byteOffset === b.byteOffset && a.length === b.length;
  return isSame || a.byteOffset + a.byteLength <= b.byteOffset || b.byteOffset + b.byteLength <= a.byteOffset;
}

type Pages = readonly [
  rowSequences: Int32Array,
  contextLengths: Int32Array,
  blockTables: Int32Array,
  maxBlocks: number,
  blockSize: number,
];

/** The addon's arguments for rows of a paged cache: every block that a row sees is one of the cache's. */
function pages(cache: CachedNumbers, rows: PagedRows, { T, G, E }: AttentionShape): Pages {
  const { contextLengths, blockTables } = rows;
  const [maxBlocks, blockSize] = [size('maxBlocks', rows.maxBlocks), size('blockSize', rows.blockSize)];
  const blockWidth = blockSize * G * E;
  assert(blockWidth > 0 && cache.length % blockWidth === 0, 'a cache has whole blocks');
  assert(maxBlocks > 0 && blockTables.length % maxBlocks === 0, 'blockTables has whole rows');
  const numSequences = blockTables.length / maxBlocks;
  const rowSequences = indices('rowSequences', rows.rowSequences, T, numSequences);
  indices('contextLengths', contextLengths, T, maxBlocks * blockSize + 1);
  const numBlocks = cache.length / blockWidth;
  for (let t = 0; t < T; t++) {
    const first = rowSequences[t] * maxBlocks;
    const used = Math.ceil(contextLengths[t] / blockSize);
    for (let i = first; i < first + used; i++) {
      const block = blockTables[i];
      if (block < 0 || block >= numBlocks) broken(`row ${t} reads block ${block} of ${numBlocks}`);
    }
  }
  return [rowSequences, contextLengths, integers('blockTables', blockTables, blockTables.length), maxBlocks, blockSize];
}

/** The kernels on rows and elements. Every argument is checked here. */
export function nativeRows(addon: Addon): Rows {
  return {
    rmsNormForward(y_TD, rstd_T, x_TD, gain_D, epsilon, T) {
      const D = gain_D.length;
      const [y, rstd] = [floats('y', y_TD, size('T', T) * D), floats('rstd', rstd_T, T)];
      addon.rmsNormForward(y, rstd, floats('x', x_TD, T * D), floats('gain', gain_D, D), epsilon, T);
    },

    rmsNormBackward(dx_TD, dy_TD, x_TD, rstd_T, gain_D, T, accumulate) {
      const D = gain_D.length;
      const [dx, dy] = [floats('dx', dx_TD, size('T', T) * D), floats('dy', dy_TD, T * D)];
      const [x, rstd] = [floats('x', x_TD, T * D), floats('rstd', rstd_T, T)];
      addon.rmsNormBackward(dx, dy, x, rstd, floats('gain', gain_D, D), T, accumulate);
    },

    rope(x_THE, positions_T, cosSin, T, H, E, inverse) {
      if (size('E', E) === 0 || E % 2 !== 0) broken(`heads of the width ${E} do not hold pairs`);
      assert(cosSin.length % E === 0, 'cosSin has whole rows');
      const positions = indices('positions', positions_T, size('T', T), cosSin.length / E);
      const table = floats('cosSin', cosSin, cosSin.length);
      addon.rope(floats('x', x_THE, T * size('H', H) * E), positions, table, T, H, E, inverse);
    },

    swigluForward(y, gate, up) {
      addon.swigluForward(
        floats('y', y, gate.length),
        floats('gate', gate, gate.length),
        floats('up', up, gate.length),
      );
    },

    swigluBackward(dgate, dup, dy, gate, up) {
      const length = gate.length;
      assert(isApartOrSame(dgate, dy) && isApartOrSame(dup, dy), 'dgate and dup are dy or apart from it');
      addon.swigluBackward(
        floats('dgate', dgate, length),
        floats('dup', dup, length),
        floats('dy', dy, length),
        floats('gate', gate, length),
        floats('up', up, length),
      );
    },

    attentionForward(out_THE, lse_TH, q_THE, k_TGE, v_TGE, segmentStarts_X, shape, rows_X) {
      checkAttention(shape);
      const { T, H, G, E, scale } = shape;
      const [out, lse] = [floats('out', out_THE, T * H * E), floats('lse', lse_TH, T * H)];
      const q = floats('q', q_THE, T * H * E);
      const [k, v] = [floats('k', k_TGE, T * G * E), floats('v', v_TGE, T * G * E)];
      addon.attentionForward(out, lse, q, k, v, ...segments(segmentStarts_X, rows_X, T), T, H, G, E, scale);
    },

    attentionBackward(
      dq_THE,
      dk_TGE,
      dv_TGE,
      dout_THE,
      out_THE,
      lse_TH,
      q_THE,
      k_TGE,
      v_TGE,
      segmentStarts_X,
      shape,
      rows_X,
    ) {
      checkAttention(shape);
      const { T, H, G, E, scale } = shape;
      const wide = (name: string, array: Floats): Float32Array => floats(name, array, T * H * E);
      const narrow = (name: string, array: Floats): Float32Array => floats(name, array, T * G * E);
      addon.attentionBackward(
        wide('dq', dq_THE),
        narrow('dk', dk_TGE),
        narrow('dv', dv_TGE),
        wide('dout', dout_THE),
        wide('out', out_THE),
        floats('lse', lse_TH, T * H),
        wide('q', q_THE),
        narrow('k', k_TGE),
        narrow('v', v_TGE),
        ...segments(segmentStarts_X, rows_X, T),
        T,
        H,
        G,
        E,
        scale,
      );
    },

    cacheKeyValues(kCache, vCache, k_TGE, v_TGE, rows, shape) {
      checkAttention(shape);
      const { T, G, E } = shape;
      const cached = pages(kCache, rows, shape);
      for (const length of rows.contextLengths) assert(length > 0, 'a row sees its own key');
      const [k, v] = [floats('k', k_TGE, T * G * E), floats('v', v_TGE, T * G * E)];
      if (kCache instanceof Uint16Array) {
        const caches = [words('kCache', kCache, kCache.length), words('vCache', vCache, kCache.length)] as const;
        addon.cacheKeyValuesBf16(...caches, k, v, ...cached, T, G, E);
      } else {
        const caches = [floats('kCache', kCache, kCache.length), floats('vCache', vCache, kCache.length)] as const;
        addon.cacheKeyValues(...caches, k, v, ...cached, T, G, E);
      }
    },

    attentionPaged(out_THE, q_THE, kCache, vCache, rows, shape) {
      checkAttention(shape);
      const { T, H, G, E, scale } = shape;
      const cached = pages(kCache, rows, shape);
      const [out, q] = [floats('out', out_THE, T * H * E), floats('q', q_THE, T * H * E)];
      if (kCache instanceof Uint16Array) {
        const caches = [words('kCache', kCache, kCache.length), words('vCache', vCache, kCache.length)] as const;
        addon.attentionPagedBf16(out, q, ...caches, ...cached, T, H, G, E, scale);
      } else {
        const caches = [floats('kCache', kCache, kCache.length), floats('vCache', vCache, kCache.length)] as const;
        addon.attentionPaged(out, q, ...caches, ...cached, T, H, G, E, scale);
      }
    },

    argmaxRows(best_N, x_NV, N) {
      assert(size('N', N) > 0 && x_NV.length > 0 && x_NV.length % N === 0, `${x_NV.length} numbers are ${N} rows`);
      addon.argmaxRows(integers('best', best_N, N), floats('x', x_NV, x_NV.length));
    },

    axpy(y, x, alpha) {
      addon.axpy(floats('y', y, x.length), floats('x', x, x.length), alpha);
    },

    sumSquares(x) {
      return addon.sumSquares(floats('x', x, x.length));
    },

    adamW(weights, gradients, moment1, moment2, options) {
      const length = weights.length;
      assert(Number.isInteger(options.step) && options.step >= 1, `the first step is 1, not ${options.step}`);
      addon.adamW(
        floats('weights', weights, length),
        floats('gradients', gradients, length),
        floats('moment1', moment1, length),
        floats('moment2', moment2, length),
        options.learningRate,
        options.beta1,
        options.beta2,
        options.epsilon,
        options.weightDecay,
        options.step,
        options.gradientScale,
      );
    },
  };
}
