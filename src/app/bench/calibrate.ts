import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, systemClock, writeFileAtomicSync } from '../../base/index.ts';
import { openBase } from '../../model/index.ts';
import { loadNativeKernels, type WeightFormat } from '../../numeric/index.ts';
import { countTrainable, fitMachine, type MachineFigures, type TrainingMeasurement } from '../../planning/index.ts';
import { openChatRenderer } from '../../text/index.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { trainJob } from '../runs/train.ts';
import { TRAIN_DEFAULTS } from '../runs/train-options.ts';
import { methodDefaults, type TrainMethod } from '../runs/train-methods.ts';
import { runTrainer } from '../runs/trainer-process.ts';
import { writeDenseExamples } from './dense-examples.ts';
import { machinePath } from './machine.ts';

/** A run to measure. */
interface Probe {
  readonly method: TrainMethod;
  readonly format: WeightFormat;
  readonly rank: number;
  readonly targets: string;
  readonly sequences: number;
  readonly seq: number;
}

export interface CalibrateEvents {
  readonly onModelProgress?: ModelProgress | undefined;
  onProgress?(numDone: number, total: number, what: string): void;
}

/** Steps of a probe; the first warms up. */
const STEPS = 3;
/** Beside LoRA: those that adapt layers and whose size is a rank, which fits any base. The others are planned at LoRA's prices, and the plan says so. */
const MEASURED_METHODS: readonly TrainMethod[] = ['dora', 'ia3', 'vera', 'loha', 'lokr', 'hra', 'miss'];
const LORA = { method: 'lora', format: 'bf16', rank: 8, targets: 'attention' } as const;

/**
 * What tells the prices apart: tokens of a pass, the length of sequences, adapted layers and rank for LoRA in bf16; two sizes of a pass for each
 * other format and each other method.
 */
function probes(): Probe[] {
  const shapes = [
    { sequences: 1, seq: 64 },
    { sequences: 3, seq: 128 },
  ];
  const formats: readonly WeightFormat[] = ['f32', 'int8', 'nf4'];
  return [
    ...shapes.map((shape) => ({ ...LORA, ...shape })),
    { ...LORA, sequences: 4, seq: 128 },
    { ...LORA, sequences: 1, seq: 512 },
    { ...LORA, targets: 'all-linear', sequences: 2, seq: 128 },
    { ...LORA, targets: 'all-linear', rank: 64, sequences: 2, seq: 128 },
    ...formats.flatMap((format) => shapes.map((shape) => ({ ...LORA, ...shape, format }))),
    ...MEASURED_METHODS.flatMap((method) => shapes.map((shape) => ({ ...LORA, ...shape, method }))),
  ];
}

/** Measures what training costs on this machine, by short runs in processes of their own, and keeps the figures for `espalier plan`. */
export async function calibrate(
  config: AppConfig,
  baseName: string,
  events: CalibrateEvents = {},
): Promise<MachineFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-calibrate-'));
  try {
    const kernels = loadNativeKernels(config.threads === undefined ? {} : { threads: config.threads });
    const bases = new Map<WeightFormat, Base>();
    const measured: TrainingMeasurement[] = [];
    const all = probes();
    for (const [index, probe] of all.entries()) {
      events.onProgress?.(index, all.length, describe(probe));
      let base = bases.get(probe.format);
      if (base === undefined) {
        base = await resolveBase(config, baseName, events.onModelProgress, probe.format, 'training');
        // Packs it if nobody has: else the first probe would be measured packing.
        openBase(base.open, kernels);
        bases.set(probe.format, base);
      }
      measured.push(await measure(config, base, probe, folder));
    }
    events.onProgress?.(all.length, all.length, 'done');
    const figures = fitMachine(measured, {
      measuredAt: new Date(systemClock.epochMs()).toISOString(),
      instructionSet: kernels.name,
      compute: config.compute ?? 'auto',
      threads: config.threads ?? availableParallelism(),
      base: baseName,
    });
    writeFileAtomicSync(machinePath(config.home), [Buffer.from(`${JSON.stringify(figures, null, 2)}\n`)]);
    return figures;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function describe({ method, format, rank, targets, sequences, seq }: Probe): string {
  return `${method} in ${format}, rank ${rank} on ${targets}, ${sequences}x${seq}`;
}

async function measure(config: AppConfig, base: Base, probe: Probe, folder: string): Promise<TrainingMeasurement> {
  const { method, format, rank, targets, sequences, seq } = probe;
  const data = join(folder, 'data.jsonl');
  writeDenseExamples(data, openChatRenderer(base.open.path), { count: sequences * STEPS, tokens: seq, seed: 0 });
  const hasRank = 'rank' in methodDefaults(method);
  const tokens = sequences * seq;
  const job = trainJob(
    config,
    {
      ...TRAIN_DEFAULTS,
      base: base.name,
      data,
      output: join(folder, 'adapter'),
      method,
      targets,
      ...(hasRank && { rank }),
      maxSteps: STEPS,
      batchTokens: tokens,
      microBatchTokens: tokens,
      validShare: 0,
      learningRate: 1e-5,
      samples: 0,
      // Checkpoints are no part of what a token costs.
      checkpointEvery: STEPS + 1,
    },
    base,
  );
  const times: number[] = [];
  const result = await runTrainer(job, { onStep: () => void times.push(systemClock.nowMs()) });
  assert(result, 'a run that nobody stops comes to its end');
  // The fastest: whatever else the machine does can only make a step slower.
  const passSeconds = Math.min(...times.slice(1).map((time, index) => (time - times[index]) / 1000));
  const model = describeBase(base).config;
  return {
    config: model,
    trainable: countTrainable(model, method, rank, targets),
    method,
    format,
    rank,
    sequences,
    seq,
    passSeconds,
    startSeconds: Math.max(0, result.seconds - STEPS * passSeconds),
    peakBytes: result.peakMemoryBytes,
  };
}
