import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveTargets, TRAINABLE_METHODS, trainableMethodOf } from '../../adapters/index.ts';
import { EspalierError } from '../../base/index.ts';
import { defaultLoraConfig, type PeftConfig } from '../../formats/index.ts';
import { linearSites } from '../../model/index.ts';
import { presetModel } from '../../planning/presets.ts';
import {
  flagOf,
  methodConfig,
  methodDefaults,
  TRAINING_METHODS,
  type MethodOption,
  type MethodOptions,
  type TrainMethod,
} from './train-methods.ts';

const model = presetModel('smollm2-135m').config;
const sites = linearSites(model);
/** What a method cannot be without. */
const NEEDED: Readonly<Partial<Record<string, MethodOptions>>> = { 'trainable-tokens': { tokens: '5,3' } };
const configOf = (method: Exclude<TrainMethod, 'full'>, options: MethodOptions): PeftConfig =>
  methodConfig(method, { ...NEEDED[method], ...options }, model);

test('the command line trains every method that can be trained', () => {
  const methods = TRAINABLE_METHODS.map(({ name }) => name);
  assert.deepEqual(TRAINING_METHODS.toSorted(), [...methods, 'full', 'qlora'].toSorted());
  for (const name of TRAINING_METHODS) {
    if (name === 'full') continue;
    const config = configOf(name, {});
    // A QLoRA is a LoRA; only its base is held in another way.
    assert.equal(trainableMethodOf(config).name, name === 'qlora' ? 'lora' : name);
    const parameters = trainableMethodOf(config).parameters(config, sites, model);
    assert.ok(parameters.length > 0);
  }
});

test('LoRA’s config is that of the library’s default with the given values', () => {
  assert.deepEqual(configOf('lora', { rank: 4, targets: 'mlp', rslora: true }), {
    ...defaultLoraConfig(),
    r: 4,
    lora_alpha: 16,
    use_rslora: true,
    target_modules: ['gate_proj', 'up_proj', 'down_proj'],
  });
});

test('an option of another method is refused by its name', () => {
  const all = new Set(TRAINING_METHODS.flatMap((name) => Object.keys(methodDefaults(name)) as MethodOption[]));
  let refused = 0;
  for (const method of TRAINING_METHODS) {
    const own = Object.keys(methodDefaults(method));
    for (const option of [...all].filter((name) => !own.includes(name))) {
      const isRefusal = (error: unknown): boolean =>
        error instanceof EspalierError && error.code === 'USAGE_INVALID' && error.message.includes(flagOf(option));
      assert.throws(
        () => methodConfig(method, { ...NEEDED[method], [option]: 1 }, model),
        isRefusal,
        `${method} ${option}`,
      );
      refused++;
    }
  }
  assert.ok(refused > 20);
});

test('every option of a method changes its config', () => {
  const values: Readonly<Record<MethodOption, string | number | boolean>> = {
    targets: 'down_proj',
    rank: 3,
    alpha: 5,
    dropout: 0.25,
    rslora: true,
    loraBias: true,
    bias: 'lora_only',
    targetParameters: 'mlp.down_proj.weight',
    ensureWeightTying: true,
    feedforward: 'v_proj',
    dInitial: 0.5,
    decomposeBoth: true,
    decomposeFactor: 3,
    blockSize: 4,
    blockShare: true,
    exactCayley: true,
    virtualTokens: 3,
    initText: 'a text',
    encoder: 'lstm',
    encoderHidden: 7,
    encoderLayers: 1,
    projection: true,
    tokens: '4,9',
    modulesToSave: 'lm_head',
    form: 'bat',
    miniRank: 7,
    frequencies: 9,
    frequencySeed: 3,
    scaling: 7,
    numVectors: 9,
    vectorLength: 32,
    topk: 3,
    initialRank: 9,
    budgetWarmup: 0.2,
    budgetFinal: 0.2,
    budgetEvery: 4,
    orthogonality: 0.25,
  };
  for (const method of TRAINING_METHODS) {
    if (method === 'full') continue;
    for (const option of Object.keys(methodDefaults(method)) as MethodOption[]) {
      const changed = configOf(method, { [option]: values[option] });
      assert.notDeepEqual(changed, configOf(method, {}), `${method} ${option}`);
    }
  }
});

test('IA3 scales the input of down_proj where that is a target, as its paper does', () => {
  const config = configOf('ia3', { targets: 'q_proj' });
  assert.ok(config.peft_type === 'IA3');
  assert.deepEqual(config.feedforward_modules, []);
  const all = configOf('ia3', { targets: 'all-linear' });
  assert.ok(all.peft_type === 'IA3');
  assert.deepEqual(all.feedforward_modules, ['down_proj']);
  assert.equal(resolveTargets(all, sites).length, sites.length);
});
