/**
 * How fast are the products with frozen weights? GFLOP/s of y = x · Wᵀ and dx = dy · W for the shapes of SmolLM2-135M, all
 * weight formats, and batches from one decoded row to a training step. Medians of a fixed number of calls.
 *
 *   node bench/matmul.ts [--json] [--threads=N] [--formats=f32,bf16] [--rows=1,2048] [--compute=f32,int8]
 *
 * --compute allows what products may round to (default: all), never those with f32 weights; taken is the first that the processor has, of int8, bf16 and
 * f32 for int8 weights, of bf16, int8 and f32 for the others.
 */
import { parseArgs } from 'node:util';
import { Rng, systemClock } from '../src/base/index.ts';
import {
  canComputeIn,
  COMPUTE_DTYPES,
  loadNativeKernels,
  WEIGHT_FORMATS,
  type WeightFormat,
} from '../src/numeric/index.ts';

/** [out, in] of q and o, k and v, gate and up, down, and the head. */
const SHAPES = [
  [576, 576],
  [192, 576],
  [1536, 576],
  [576, 1536],
  [49152, 576],
] as const;
/** A measurement does about this many multiplications and additions, in at least three calls. */
const FLOPS_PER_MEASUREMENT = 4e9;

interface Measurement {
  readonly out: number;
  readonly in: number;
  readonly format: WeightFormat;
  readonly direction: 'forward' | 'backward';
  readonly T: number;
  readonly medianMs: number;
  readonly gflops: number;
  /** Of the weights' bytes. */
  readonly gigabytesPerSecond: number;
}

function random(length: number): Float32Array {
  const rng = Rng.fromSeed(length);
  return Float32Array.from({ length }, () => rng.nextFloat() - 0.5);
}

function medianMs(numCalls: number, call: () => void): number {
  call();
  const times: number[] = [];
  for (let i = 0; i < numCalls; i++) {
    const start = systemClock.nowMs();
    call();
    times.push(systemClock.nowMs() - start);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1];
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    threads: { type: 'string' },
    formats: { type: 'string', default: WEIGHT_FORMATS.join(',') },
    rows: { type: 'string', default: '1,8,64,512,2048' },
    compute: { type: 'string', default: COMPUTE_DTYPES.join(',') },
  },
});
const kernels = loadNativeKernels(values.threads === undefined ? {} : { threads: Number(values.threads) });
const formats = WEIGHT_FORMATS.filter((format) => values.formats.split(',').includes(format));
const allowed = COMPUTE_DTYPES.filter((dtype) => values.compute.split(',').includes(dtype) && canComputeIn(dtype));
const rows = values.rows.split(',').map(Number);

function measure(out: number, inputs: number, format: WeightFormat): Measurement[] {
  const wanted = format === 'int8' ? (['int8', 'bf16'] as const) : (['bf16', 'int8'] as const);
  const computeDtype = format === 'f32' ? 'f32' : (wanted.find((dtype) => allowed.includes(dtype)) ?? 'f32');
  const weight = kernels.freeze(random(out * inputs), out, inputs, format, computeDtype);
  const bytes = kernels.packedBytes(out, inputs, format);
  return rows.flatMap((T) => {
    const [x, y] = [random(T * inputs), new Float32Array(T * out)];
    const flops = 2 * T * out * inputs;
    const numCalls = Math.min(300, Math.max(3, Math.round(FLOPS_PER_MEASUREMENT / flops)));
    const dx = new Float32Array(T * inputs);
    const calls = {
      forward: () => kernels.linearForward(y, x, weight, T, false),
      backward: () => kernels.linearBackward(dx, y, weight, T, false),
    };
    return (['forward', 'backward'] as const).map((direction): Measurement => {
      const ms = medianMs(numCalls, calls[direction]);
      const [gflops, gigabytesPerSecond] = [flops / ms / 1e6, bytes / ms / 1e6];
      return { out, in: inputs, format, direction, T, medianMs: ms, gflops, gigabytesPerSecond };
    });
  });
}

const measurements: Measurement[] = [];
if (!values.json) {
  console.log(`${kernels.name}, ${kernels.threads} threads, GFLOP/s (GB/s of weights for T = 1)`);
  console.log('[out, in]       format direction' + rows.map((T) => `T=${T}`.padStart(10)).join(''));
}
for (const [out, inputs] of SHAPES) {
  for (const format of formats) {
    const some = measure(out, inputs, format);
    measurements.push(...some);
    if (values.json) continue;
    for (const direction of ['forward', 'backward'] as const) {
      const cells = some
        .filter((one) => one.direction === direction)
        .map(({ T, gflops, gigabytesPerSecond }) =>
          (gflops.toFixed(0) + (T === 1 ? ` (${gigabytesPerSecond.toFixed(0)})` : '')).padStart(10),
        );
      console.log(`${`[${out}, ${inputs}]`.padEnd(15)} ${format.padEnd(6)} ${direction.padEnd(9)}${cells.join('')}`);
    }
  }
}
if (values.json) {
  console.log(JSON.stringify({ instructionSet: kernels.name, threads: kernels.threads, measurements }, null, 2));
}
