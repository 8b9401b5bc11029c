/** A measurement that was disturbed is said to be so, and what came out of it without sense is not used. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitMachine, type TrainingMeasurement } from './fit-machine.ts';
import { fitTraining } from './fit-training.ts';
import { doubtsOf } from './machine-doubts.ts';
import type { MachineFigures } from './machine.ts';
import { countTrainable } from './methods.ts';
import { planFrom } from './plan.ts';
import { presetModel } from './presets.ts';

const model = presetModel('smollm2-135m');
const ABOUT = { measuredAt: '2026-11-30T00:00:00.000Z', instructionSet: 'avx2', threads: 2, base: 'smollm2' } as const;
const SOUND: MachineFigures = {
  ...ABOUT,
  version: 1,
  processBytes: 120 * 2 ** 20,
  bufferFactor: 1.1,
  formats: { bf16: { perFlop: 8e-12, perWeight: 0 } },
  perAttentionFlop: 0,
  perAdapterFlop: 0,
  perAdapterValue: 0,
  methods: {},
  error: { time: 0.05, memory: 0.02 },
};

test('figures without sense are doubtful by name; sound ones, also without their error, are not', () => {
  const { error: _error, ...older } = SOUND;
  for (const machine of [SOUND, older]) assert.deepEqual(doubtsOf(machine), []);
  const cases: readonly (readonly [Partial<MachineFigures>, RegExp])[] = [
    [{ formats: { bf16: { perFlop: 0, perWeight: 1e-9 } } }, /^the price of an operation in bf16 came out as zero$/],
    [{ formats: { nf4: { perFlop: 1e-13, perWeight: 0 } } }, /^nf4 came out at 10000 GFLOP\/s/],
    [{ processBytes: 0 }, /^a process came out at 0 MiB$/],
    [{ bufferFactor: 0 }, /^buffers came out at 0\.00 times/],
    [{ bufferFactor: 7 }, /^buffers came out at 7\.00 times/],
    [{ error: { time: 0.6, memory: 0 } }, /^the time of a measured run is missed by 60 %$/],
    [{ error: { time: 0, memory: 0.5 } }, /^the memory of a measured run is missed by 50 %$/],
  ];
  for (const [change, doubt] of cases) {
    const [found, ...others] = doubtsOf({ ...SOUND, ...change });
    assert.match(found, doubt);
    assert.deepEqual(others, []);
  }
});

test('a plan says what it does without', () => {
  const options = { model, batch: 4, seq: 128, microBatchTokens: 512 };
  const [sound, plain] = [planFrom({ ...options, machine: SOUND }), planFrom(options)];
  assert.ok(!sound.assumptions.some((text) => text.includes('doubtful')));
  const broken = { ...SOUND, formats: { bf16: { perFlop: 0, perWeight: 0 } }, processBytes: 0, bufferFactor: 0 };
  const plan = planFrom({ ...options, machine: broken });
  const said = plan.assumptions.find((text) => text.includes('doubtful'));
  assert.match(said ?? '', /price of an operation in bf16.*a process.*buffers.*bench train --calibrate/);
  assert.deepEqual([plan.time, plan.training.totalBytes], [plain.time, plain.training.totalBytes]);
  assert.deepEqual([sound.time.isMeasured, plan.time.isMeasured], [true, false]);
});

test('a fit knows how far it is from what was measured', () => {
  const trainable = countTrainable(model.config, 'lora', 8, 'attention');
  const run = (sequences: number, seconds: number): TrainingMeasurement => ({
    config: model.config,
    trainable,
    method: 'lora',
    format: 'bf16',
    rank: 8,
    sequences,
    seq: 128,
    passSeconds: seconds,
    startSeconds: 0,
    peakBytes: 4e8 + sequences * 1e8,
  });
  const fit = (...seconds: number[]) =>
    fitMachine(
      seconds.map((each, index) => run(index + 1, each)),
      ABOUT,
    );
  const peaceful = fit(1, 2, 3, 4);
  assert.ok((peaceful.error?.time ?? NaN) < 0.01, `${peaceful.error?.time}`);
  // Something else had the machine for a while.
  const disturbed = fit(1, 2, 9, 4);
  assert.ok((disturbed.error?.time ?? NaN) > 0.3, `${disturbed.error?.time}`);
  assert.match(doubtsOf(disturbed).join(), /time of a measured run is missed/);
});

test('a memory budget is divided by what a process was measured to take', () => {
  const trainable = countTrainable(model.config, 'lora', 8, 'attention');
  const needs = { format: 'bf16', rank: 8, batchTokens: 4096, longestTokens: 100 } as const;
  const fit = (machine?: MachineFigures) => fitTraining(model.config, trainable, needs, 900 * 2 ** 20, machine);
  const [plain, small, large] = [
    fit(),
    fit({ ...SOUND, processBytes: 60 * 2 ** 20 }),
    fit({ ...SOUND, bufferFactor: 2 }),
  ];
  assert.ok(small.microBatchTokens > plain.microBatchTokens, `${small.microBatchTokens}, ${plain.microBatchTokens}`);
  assert.ok(large.microBatchTokens < plain.microBatchTokens, `${large.microBatchTokens}, ${plain.microBatchTokens}`);
  const least = fit({ ...SOUND, bufferFactor: 0.6 });
  assert.deepEqual(least, fit({ ...SOUND, bufferFactor: 1 }), 'buffers take at least what is in them');
  assert.deepEqual(fit({ ...SOUND, processBytes: 0, bufferFactor: 0 }), plain, 'what makes no sense is not used');
});
