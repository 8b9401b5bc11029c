/**
 * What gradients and optimizer take, LoRA's beside those of full fine-tuning: `node bench/full-state.ts [BASE]`. Bytes of the arrays themselves, and the
 * resident memory of the process that they and one step add (Linux's RssAnon, which leaves the mapped base out).
 */
import { readFileSync } from 'node:fs';
import { readConfig, resolveBase } from '../src/app/index.ts';
import { methodConfig } from '../src/app/runs/train-methods.ts';
import { openBase, type BaseModel } from '../src/model/index.ts';
import { loadNativeKernels } from '../src/numeric/index.ts';
import { DEFAULT_OPTIMIZER, TrainingRun, type RunConfig, type TrainedConfig } from '../src/training/index.ts';

const [name = 'smollm2-135m-instruct'] = process.argv.slice(2);
const NUM_TOKENS = 64;

const { open } = await resolveBase(readConfig(), name, undefined, 'f32');
const base = openBase(open, loadNativeKernels());
const rows = [
  measure('lora, rank 8 on attention', base, methodConfig('lora', {}, base.config)),
  measure('full', base, methodConfig('full', {}, base.config)),
];
console.table(rows);
console.log(`gradients and optimizer: ${(rows[1].stateBytes / rows[0].stateBytes).toFixed(0)} times LoRA's`);

function measure(method: string, model: BaseModel, adapter: TrainedConfig) {
  const before = residentBytes();
  const config: RunConfig = {
    adapter,
    maxSteps: 1,
    epochs: 1,
    batchTokens: NUM_TOKENS,
    microBatchTokens: NUM_TOKENS,
    learningRate: 1e-5,
    schedule: 'constant',
    warmup: 0,
    seed: 0,
    optimizer: DEFAULT_OPTIMIZER,
    evaluateEverySteps: 1,
  };
  const tokenIds = Int32Array.from({ length: NUM_TOKENS }, (_, i) => (37 * i) % model.config.vocabSize);
  const lossWeights = new Float32Array(NUM_TOKENS).fill(1);
  const run = new TrainingRun(model, { train: [{ tokenIds, lossWeights }], valid: [] }, config);
  const { loss } = run.step();
  const gradients = run.parameters.reduce((sum, { gradient }) => sum + gradient.data.byteLength, 0);
  const moments = run.moments.reduce((sum, { first, second }) => sum + first.byteLength + second.byteLength, 0);
  const parameters = run.parameters.reduce((sum, { value }) => sum + value.data.length, 0);
  return { method, parameters, stateBytes: gradients + moments, residentBytes: residentBytes() - before, loss };
}

function residentBytes(): number {
  const [, kib] = /RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return 1024 * Number(kib);
}
