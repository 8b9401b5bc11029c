import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitMachine, nonNegativeLeastSquares, type TrainingMeasurement } from './fit-machine.ts';
import { parseMachine, passSeconds, type MachineFigures } from './machine.ts';
import { isBuffer, totalBytes, trainingMemory, FULL_RECIPES } from './memory.ts';
import { countTrainable } from './methods.ts';
import { passesOf, passWork } from './pass-work.ts';
import { planFrom } from './plan.ts';
import { presetModel } from './presets.ts';

const model = presetModel('smollm2-135m');
const ABOUT = { measuredAt: '2026-11-30T00:00:00.000Z', instructionSet: 'avx2', threads: 2, base: 'smollm2' } as const;

/** A machine that does not exist. */
const INVENTED: MachineFigures & { readonly startSeconds: number } = {
  ...ABOUT,
  version: 1,
  processBytes: 100 * 2 ** 20,
  bufferFactor: 1.1,
  startSeconds: 0.75,
  formats: { bf16: { perFlop: 8e-12, perWeight: 2e-10 }, nf4: { perFlop: 9e-12, perWeight: 6e-10 } },
  perAttentionFlop: 3e-11,
  perAdapterFlop: 5e-11,
  perAdapterValue: 4e-10,
  methods: { dora: { perWeight: 1e-9, perValue: 2e-10 } },
};

interface Shape {
  readonly method?: string;
  readonly format?: 'bf16' | 'nf4';
  readonly rank?: number;
  readonly targets?: string;
  readonly sequences: number;
  readonly seq: number;
}

/** What the invented machine takes. */
function invented({ method = 'lora', format = 'bf16', rank = 8, targets = 'attention', sequences, seq }: Shape) {
  const trainable = countTrainable(model.config, method, rank, targets);
  const [recipe] = FULL_RECIPES;
  const tokens = sequences * seq;
  const parts = trainingMemory(model.config, trainable, { format, rank, recipe, tokens });
  const buffers = totalBytes(parts.filter(isBuffer));
  const seconds = passSeconds(INVENTED, { format, method }, passWork(model.config, trainable, sequences, seq));
  return {
    config: model.config,
    trainable,
    method,
    format,
    rank,
    sequences,
    seq,
    passSeconds: seconds ?? NaN,
    // Something else ran beside one of them.
    startSeconds: seq === 512 ? 9 : INVENTED.startSeconds,
    peakBytes: INVENTED.processBytes + totalBytes(parts) + (INVENTED.bufferFactor - 1) * buffers,
  } satisfies TrainingMeasurement;
}

const MEASURED = [
  invented({ sequences: 1, seq: 64 }),
  invented({ sequences: 3, seq: 128 }),
  invented({ sequences: 4, seq: 128 }),
  invented({ sequences: 1, seq: 512 }),
  invented({ sequences: 2, seq: 128, targets: 'all-linear' }),
  invented({ sequences: 2, seq: 128, targets: 'all-linear', rank: 64 }),
  ...([1, 6] as const).flatMap((sequences) => [
    invented({ sequences, seq: 64, format: 'nf4' }),
    invented({ sequences, seq: 64, method: 'dora' }),
  ]),
];

test("a machine's figures are found from what it took, and predict what was not measured", () => {
  const fitted = fitMachine(MEASURED, ABOUT);
  assert.ok(Math.abs(fitted.processBytes / INVENTED.processBytes - 1) < 1e-3, `${fitted.processBytes}`);
  assert.ok(Math.abs(fitted.bufferFactor / INVENTED.bufferFactor - 1) < 1e-3);
  for (const shape of [
    { batch: 8, seq: 256 },
    { batch: 3, seq: 700 },
  ]) {
    for (const options of [
      { method: 'lora', rank: 16, targets: 'mlp' },
      { method: 'qlora', rank: 32 },
      { method: 'dora', rank: 4 },
    ]) {
      const plans = [INVENTED, fitted].map((machine) =>
        planFrom({ model, machine, microBatchTokens: 512, trainTokens: 1e6, ...shape, ...options }),
      );
      const [truth, found] = plans.map(({ time }) => time.seconds);
      assert.ok(Math.abs(found / truth - 1) < 0.02, `${JSON.stringify({ ...shape, ...options })}: ${found}, ${truth}`);
      const [memory, foundMemory] = plans.map(({ training }) => training.totalBytes);
      assert.ok(Math.abs(foundMemory / memory - 1) < 1e-3);
    }
  }
  assert.equal(fitted.startSeconds, INVENTED.startSeconds, 'the one that was disturbed does not count');
  assert.deepEqual(parseMachine(JSON.parse(JSON.stringify(fitted)), 'machine.json'), fitted);
});

test('least squares without negative prices', () => {
  const rows = [
    { a: 1, b: 1 },
    { a: 1, b: 2 },
    { a: 2, b: 1 },
  ];
  const exact = nonNegativeLeastSquares(rows, [3, 5, 4]);
  assert.ok(Math.abs((exact.get('a') ?? 0) - 1) < 1e-9 && Math.abs((exact.get('b') ?? 0) - 2) < 1e-9);
  // Without the bound, b would be -1.
  const bounded = nonNegativeLeastSquares(rows, [2, 1, 5]);
  assert.equal(bounded.get('b'), 0);
  assert.ok((bounded.get('a') ?? 0) > 0);
});

test('a batch is cut into passes as training cuts it', () => {
  assert.deepEqual(passesOf({ batch: 8, seq: 256 }), [8]);
  assert.deepEqual(passesOf({ batch: 5, seq: 256, microBatchTokens: 512 }), [2, 2, 1]);
  assert.deepEqual(passesOf({ batch: 2, seq: 1024, microBatchTokens: 512 }), [1, 1], 'an example is never cut');
});

test('a plan holds a micro-batch, and says what its time and memory come from', () => {
  const options = { model, batch: 8, seq: 256, microBatchTokens: 512 };
  const part = (plan: ReturnType<typeof planFrom>, name: string): number =>
    plan.training.parts.find((one) => one.part === name)?.bytes ?? NaN;
  const [whole, micro] = [planFrom({ ...options, microBatchTokens: undefined }), planFrom(options)];
  assert.equal(part(whole, 'activations'), 4 * part(micro, 'activations'));
  assert.equal(micro.training.tokensPerStep, 2048);
  const calibrated = planFrom({ ...options, machine: INVENTED });
  assert.equal(part(calibrated, 'program'), INVENTED.processBytes);
  assert.equal(part(calibrated, 'activations'), Math.round(part(micro, 'activations') * INVENTED.bufferFactor));
  assert.ok(calibrated.assumptions.includes('0.8 s of the time are the first step’s, however many follow'));
  const { time } = planFrom({ ...options, machine: INVENTED, trainTokens: 2048 });
  assert.equal(time.seconds, 0.75 + 2048 / time.tokensPerSecond);
  const { startSeconds: _, ...older } = INVENTED;
  const sooner = planFrom({ ...options, machine: parseMachine(older, 'machine.json'), trainTokens: 2048 }).time;
  assert.equal(sooner.seconds, 2048 / time.tokensPerSecond, 'an older file knows of no start');
  assert.ok(calibrated.assumptions.some((text) => /measured to do on smollm2 .*products in auto/.test(text)));
  const inInt8 = planFrom({ ...options, machine: { ...INVENTED, compute: 'int8' } });
  assert.ok(inInt8.assumptions.some((text) => text.includes('products in int8')));
  const unknown = planFrom({ ...options, machine: INVENTED, method: 'loha' });
  assert.ok(unknown.assumptions.some((text) => text.includes('loha itself was not measured')));
  const given = planFrom({ ...options, machine: INVENTED, gigaflopsPerSecond: 100 });
  assert.equal(given.time.gigaflopsPerSecond, 100, 'what the caller says goes first');
  const unmeasured = planFrom({ ...options, machine: INVENTED, baseFormat: 'int8' });
  assert.equal(unmeasured.time.gigaflopsPerSecond, 150, 'a format that was not measured has the default rate');
  assert.ok(!unmeasured.assumptions.some((text) => text.includes('measured to do')));
});

test('figures that cannot be read are refused by their field', () => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [null, /is no JSON object/],
    [{ ...INVENTED, version: 2 }, /has version 2, this program reads 1/],
    [{ ...INVENTED, bufferFactor: -1 }, /bufferFactor must be a number of at least 0/],
    [{ ...INVENTED, startSeconds: 'long' }, /startSeconds must be a number of at least 0/],
    [{ ...INVENTED, base: 3 }, /base must be text/],
    [{ ...INVENTED, formats: { bf16: { perFlop: 1 } } }, /formats\.bf16\.perWeight must be/],
    [{ ...INVENTED, formats: { fp4: { perFlop: 1, perWeight: 1 } } }, /formats\.fp4 is no format/],
    [{ ...INVENTED, methods: [] }, /methods must be an object/],
  ];
  for (const [value, message] of cases) {
    assert.throws(() => parseMachine(value, 'machine.json'), { code: 'CONFIG_INVALID', message });
  }
});
