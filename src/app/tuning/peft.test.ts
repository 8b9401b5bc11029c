/** How the adapter of a job is made: every method that is offered fits a base, is estimated as it is trained, and refuses what is not its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainableMethodOf } from '../../adapters/index.ts';
import { JOB_PEFT_METHODS } from '../../http/wire/peft.ts';
import { DEFAULT_PEFT, resolveHyperparameters, type JobPeft } from '../../jobs/index.ts';
import { linearSites } from '../../model/index.ts';
import { presetModel, type MachineFigures } from '../../planning/index.ts';
import { estimateRun } from './estimate.ts';
import { adapterOf, formatOf, resolvePeft, TUNING_PEFT_METHODS, usableContext } from './peft.ts';

const model = presetModel('smollm2-135m').config;

const NOTHING = { method: null, rank: null, targets: null, learningRate: null };
const ALL_AUTO = { batchSize: 'auto', learningRateMultiplier: 'auto', numEpochs: 'auto', beta: 'auto' } as const;
const resolved = resolveHyperparameters(ALL_AUTO, 'supervised', { examples: 40, tokens: 1600 });
const estimate = (peft: JobPeft, machine?: MachineFigures) => estimateRun({ config: model, peft, resolved, machine });

test('the API names the methods that a rank and targets are enough for; a job that names none has the default', () => {
  assert.deepEqual([...JOB_PEFT_METHODS], TUNING_PEFT_METHODS);
  assert.deepEqual(resolvePeft(NOTHING, model), DEFAULT_PEFT);
});

test('what a method trains is what its estimate says', () => {
  for (const method of JOB_PEFT_METHODS) {
    const peft = resolvePeft({ ...NOTHING, method }, model);
    const config = adapterOf(peft, model);
    const trained = trainableMethodOf(config)
      .parameters(config, linearSites(model), model)
      .filter(({ isFrozen }) => isFrozen !== true)
      .reduce((sum, { shape }) => sum + shape.reduce((size, length) => size * length, 1), 0);
    assert.equal(estimate(peft).trainableParameters, trained, method);
  }
});

test('an example that is longer than a pass decides the memory', () => {
  const memory = (longest?: number): number =>
    estimateRun({ config: model, peft: DEFAULT_PEFT, resolved, longest, machine: undefined }).memoryBytes;
  assert.equal(memory(40), memory());
  const grown = memory(8000) - memory(4000);
  assert.ok(grown > 1e9, `${grown} bytes for 4000 tokens more`);
  assert.ok(memory(4000) > memory() + grown / 2);
});

test('a setting that the method has not, and one that fits no adapter, are refused by name', () => {
  const cases = [
    [{ method: 'ia3', rank: 4 }, 'peft.rank', /peft\.rank is no setting of ia3/],
    [{ method: 'prompt-tuning', targets: 'mlp' }, 'peft.target_modules', /no setting of prompt-tuning/],
    [{ targets: 'q_proj,nowhere' }, 'peft.target_modules', /"nowhere" matches no module/],
    [{ targets: 'q_proj,model.embed_tokens' }, 'peft.target_modules', /model\.embed_tokens, which jobs do not train/],
    [{ method: 'trainable-tokens' }, 'peft.method', /peft\.method must be one of lora, qlora/],
    [{ method: 'hra', rank: 7 }, 'peft', /peft: /],
  ] as const;
  for (const [asked, param, message] of cases) {
    assert.throws(() => resolvePeft({ ...NOTHING, ...asked }, model), { code: 'REQUEST_INVALID', param, message });
  }
});

test('format and context follow the method', () => {
  const qlora = resolvePeft({ ...NOTHING, method: 'qlora' }, model);
  assert.deepEqual([formatOf(qlora), formatOf(DEFAULT_PEFT)], ['nf4', 'bf16']);
  const prompt = resolvePeft({ ...NOTHING, method: 'prompt-tuning' }, model);
  assert.equal(usableContext(prompt, model), model.contextLength - 20);
  assert.equal(usableContext(DEFAULT_PEFT, model), model.contextLength);
});

test('an estimate goes by what the machine was measured to do, where its figures have a price', () => {
  const machine: MachineFigures = {
    version: 1,
    measuredAt: '2026-11-30T00:00:00.000Z',
    instructionSet: 'avx2',
    threads: 2,
    base: 'tiny',
    processBytes: 100 * 2 ** 20,
    bufferFactor: 1,
    formats: { bf16: { perFlop: 1e-9, perWeight: 0 }, nf4: { perFlop: 0, perWeight: 1 } },
    perAttentionFlop: 0,
    perAdapterFlop: 0,
    perAdapterValue: 0,
    methods: {},
  };
  const [before, measured] = [estimate(DEFAULT_PEFT), estimate(DEFAULT_PEFT, machine)];
  assert.deepEqual([before.calibrated, measured.calibrated], [false, true]);
  // The default is 150 GFLOP/s; this machine does one, and its attention and adapters cost nothing.
  const ratio = measured.seconds / before.seconds;
  assert.ok(ratio > 75 && ratio < 150, `${ratio}`);
  assert.equal(before.memoryBytes - measured.memoryBytes, 60 * 2 ** 20);
  const qlora = resolvePeft({ ...NOTHING, method: 'qlora' }, model);
  const unpriced = estimate(qlora, machine);
  assert.deepEqual([unpriced.calibrated, unpriced.seconds], [false, estimate(qlora).seconds]);
});
