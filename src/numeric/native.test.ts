import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { EspalierError, type ErrorCode, Rng } from '../base/index.ts';
import { assertBitEqual, assertClose } from './compare.ts';
import { WEIGHT_FORMATS } from './kernels.ts';
import { canComputeIn, loadNativeKernels } from './native.ts';

const kernels = loadNativeKernels({ threads: 2 });

function random(length: number, seed: number): Float32Array {
  const rng = Rng.fromSeed(seed);
  return Float32Array.from({ length }, () => rng.nextNormal());
}

function fails(code: ErrorCode, message: RegExp, call: () => unknown): void {
  assert.throws(call, (error) => {
    assert.ok(error instanceof EspalierError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

test('matrices packed into a file give the bits of frozen ones, both ways and as a table', () => {
  const [O, I, T] = [37, 51, 20];
  const folder = mkdtempSync(join(tmpdir(), 'espalier-native-'));
  try {
    const dense = random(O * I, 1);
    const sizes = WEIGHT_FORMATS.map((format) => kernels.packedBytes(O, I, format));
    const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size));
    const offsets = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
    for (const [i, format] of WEIGHT_FORMATS.entries()) {
      kernels.packInto(bytes.subarray(offsets[i], offsets[i] + sizes[i]), dense, O, I, format);
    }
    const path = join(folder, 'weights.packed');
    writeFileSync(path, bytes);
    const file = kernels.mapWeights(path);
    const [x, dy] = [random(T * I, 2), random(T * O, 3)];
    const tokenIds = Int32Array.from({ length: T }, (_, t) => (t * 5) % O);
    for (const [i, format] of WEIGHT_FORMATS.entries()) {
      const run = (weight = file.matrix(offsets[i], O, I, format)): Float32Array => {
        const all = new Float32Array(T * (O + 2 * I));
        kernels.linearForward(all.subarray(0, T * O), x, weight, T, false);
        kernels.linearBackward(all.subarray(T * O, T * (O + I)), dy, weight, T, false);
        kernels.embeddingForward(all.subarray(T * (O + I)), weight, tokenIds, T);
        return all;
      };
      assertBitEqual(run(), run(kernels.freeze(dense, O, I, format)), format);
    }
    const end = bytes.length - sizes[2];
    fails('FILE_INVALID', /too short/, () => file.matrix(end + 64, O, I, 'int8'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a file that cannot be mapped is named', () => {
  fails('FILE_INVALID', /no-such-file/, () => kernels.mapWeights('/no-such-file'));
});

test('no argument of a wrong kind, length or range reaches the addon', () => {
  const weight = kernels.freeze(random(6, 1), 2, 3, 'f32');
  const [y, x] = [new Float32Array(2), new Float32Array(3)];
  const wrong: [RegExp, () => void][] = [
    [/y has 2 elements where 4/, () => kernels.linearForward(y, x, weight, 2, false)],
    [/dy has 3 elements where 2/, () => kernels.linearBackward(x, x, weight, 1, false)],
    [/x is a Float32Array/, () => kernels.linearForward(y, new Float64Array(3), weight, 1, false)],
    [/T = 0.5 is not a size/, () => kernels.linearForward(y, x, weight, 0.5, false)],
    [/made it/, () => kernels.linearForward(y, x, { out: 2, in: 3, format: 'f32' }, 1, false)],
    [/tokenIds holds 2/, () => kernels.embeddingForward(x, weight, Int32Array.of(2), 1)],
    [/tokenIds holds -1/, () => kernels.embeddingForward(x, weight, Int32Array.of(-1), 1)],
    [/b has 3 elements/, () => kernels.gemm(y, x, x, { M: 1, N: 2, K: 3 })],
    [
      /targets holds 2/,
      () => kernels.linearCrossEntropy(y.subarray(0, 1), null, null, x, weight, Int32Array.of(2), y.subarray(0, 1), 1),
    ],
  ];
  for (const [message, call] of wrong) fails('INTERNAL', message, call);
});

test('ESPALIER_ISA chooses the instruction set, and a name that is not there is refused', () => {
  const script = `
    import { loadNativeKernels } from ${JSON.stringify(join(import.meta.dirname, 'native.ts'))};
    try { console.log(loadNativeKernels().name); } catch (error) { console.log(error.code, error.message); }`;
  const run = (isa: string): string =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, ESPALIER_ISA: isa },
      encoding: 'utf8',
    });
  assert.equal(run('portable').trim(), 'portable');
  assert.match(run('sse9'), /^CONFIG_INVALID ESPALIER_ISA=sse9 is unknown/);
});

test('products in bf16 round both operands once and add up in float32', { skip: !canComputeIn('bf16') }, () => {
  const inBf16 = (values: Float32Array): Float32Array => {
    const bits = new Uint32Array(values.buffer);
    return Float32Array.from(
      new Float32Array(bits.map((b) => ((b + 0x7fff + ((b >>> 16) & 1)) & 0xffff0000) >>> 0).buffer),
    );
  };
  const [O, I, T] = [37, 50, 9];
  const [weights, x, dy] = [random(O * I, 1), random(T * I, 2), random(T * O, 3)];
  const rounded = kernels.freeze(weights, O, I, 'bf16', 'bf16');
  const exact = kernels.freeze(weights, O, I, 'bf16');
  const [y, expected] = [new Float32Array(T * O), new Float32Array(T * O)];
  kernels.linearForward(y, x, rounded, T, false);
  kernels.linearForward(expected, inBf16(x), exact, T, false);
  assertClose(y, expected, 'f32Kernel', 'y');
  const [dx, dxExpected] = [new Float32Array(T * I), new Float32Array(T * I)];
  kernels.linearBackward(dx, dy, rounded, T, false);
  kernels.linearBackward(dxExpected, inBf16(dy), exact, T, false);
  assertClose(dx, dxExpected, 'f32Kernel', 'dx');
});

test('products in int8 round rows in blocks of 32 and add up whole numbers', { skip: !canComputeIn('int8') }, () => {
  const [O, I, T] = [37, 50, 9];
  const inBlocks = (rows: Float32Array, depth: number): Float32Array =>
    Float32Array.from({ length: rows.length }, (_, i) => {
      const [row, k] = [Math.floor(i / depth) * depth, i % depth];
      const block = rows.subarray(row + 32 * Math.floor(k / 32), row + Math.min(depth, 32 * Math.floor(k / 32) + 32));
      const scale = Math.fround(block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127);
      return Math.round(rows[i] / scale) * scale;
    });
  const [weights, x, dy] = [random(O * I, 1), random(T * I, 2), random(T * O, 3)];
  const inInt8 = kernels.freeze(weights, O, I, 'int8', 'int8');
  const exact = kernels.freeze(weights, O, I, 'int8');
  const [y, expected] = [new Float32Array(T * O), new Float32Array(T * O)];
  kernels.linearForward(y, x, inInt8, T, false);
  kernels.linearForward(expected, inBlocks(x, I), exact, T, false);
  assertClose(y, expected, 'f32Kernel', 'y');
  // A row's scale of the weight is taken into dy before that is rounded.
  const scales = Array.from({ length: O }, (_, row) =>
    Math.fround(weights.subarray(row * I, (row + 1) * I).reduce((most, w) => Math.max(most, Math.abs(w)), 0) / 127),
  );
  const scaled = inBlocks(
    dy.map((value, i) => value * scales[i % O]),
    O,
  ).map((value, i) => value / scales[i % O]);
  const [dx, dxExpected] = [new Float32Array(T * I), new Float32Array(T * I)];
  kernels.linearBackward(dx, dy, inInt8, T, false);
  kernels.linearBackward(dxExpected, scaled, exact, T, false);
  assertClose(dx, dxExpected, 'f32Kernel', 'dx');
});

test('a dtype that the instruction set in use has not is refused by name', () => {
  const script = `
    import { loadNativeKernels } from ${JSON.stringify(join(import.meta.dirname, 'native.ts'))};
    for (const dtype of ['bf16', 'int8']) {
      try { loadNativeKernels().freeze(new Float32Array(6), 2, 3, 'int8', dtype); } catch (error) { console.log(error.code, error.message); }
    }`;
  const env = { ...process.env, ESPALIER_ISA: 'portable' };
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
  assert.match(said, /^CONFIG_INVALID products in bf16 need .* AVX-512 BF16, .* portable: compute in f32\n/);
  assert.match(said, /\nCONFIG_INVALID products in int8 need .* AVX-512 VNNI, .* portable: compute in f32\n$/);
});

test('several threads of Node may be in kernels at once, and may end while others go on', async () => {
  const script = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { loadNativeKernels } = await import(workerData);
    const kernels = loadNativeKernels();
    const [O, I, T] = [300, 200, 40];
    const weight = kernels.freeze(new Float32Array(O * I).fill(0.5), O, I, 'bf16');
    const y = new Float32Array(T * O);
    for (let i = 0; i < 50; i++) kernels.linearForward(y, new Float32Array(T * I).fill(2), weight, T, false);
    parentPort.postMessage(y.every((value) => value === I));`;
  const source = new URL(`data:text/javascript,${encodeURIComponent(script)}`);
  const answers = Array.from({ length: 3 }, () => {
    const worker = new Worker(source, { workerData: import.meta.resolve('./native.ts') });
    return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  });
  assert.deepEqual(await Promise.all(answers), [true, true, true]);
});
