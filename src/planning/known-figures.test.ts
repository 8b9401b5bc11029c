/**
 * The figures that people quote for fine-tuning at scale, each with the assumption that gives it. Where the formula with
 * a real architecture gives another number than the quoted one, the test states both: no formula is bent.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fullStateBytes, FULL_RECIPES, kvBytesPerToken, weightBytes } from './memory.ts';
import { countTrainable } from './methods.ts';
import { countParameters } from './parameters.ts';
import { planFrom } from './plan.ts';
import { presetModel } from './presets.ts';

const GB = 1e9;
const config = (name: string) => presetModel(name).config;
const total = (name: string): number => countParameters(config(name)).total;

test('exact counts equal the published models', () => {
  const published = {
    'smollm2-135m': 134_515_008,
    '3b': 3_212_749_824,
    'open-llama-3b': 3_426_473_600,
    '7b': 6_738_415_616,
    '8b': 8_030_261_248,
    '13b': 13_015_864_320,
    '65b': 65_285_660_672,
    '70b': 70_553_706_496,
  };
  for (const [name, count] of Object.entries(published)) assert.equal(total(name), count, name);
});

test('7B = 14 GB and 65B = 130 GB in 16 bit: of the round counts; the real shapes give 13.5 and 130.6 GB', () => {
  const seven = planFrom({ model: presetModel('7b') }).model;
  assert.equal(seven.nominal?.bytes16, 14 * GB);
  assert.equal(seven.bytes16, 13_476_831_232);
  const sixtyFive = planFrom({ model: presetModel('65b') }).model;
  assert.equal(sixtyFive.nominal?.bytes16, 130 * GB);
  assert.equal(sixtyFive.bytes16, 130_571_321_344);
});

test('full fine-tuning is 4 to 6 times the weights with bf16 to f32 moments; f32 master weights or all in f32 make it 8', () => {
  const times = planFrom({ model: presetModel('7b'), method: 'full' }).fullFineTuning.map((each) => each.timesWeights);
  assert.deepEqual(times, [3, 4, 6, 8, 8]);
});

test('full fine-tuning of a 70B takes 400 to 600 GB with 8-bit to bf16 moments', () => {
  const [eightBit, bf16, f32, master] = FULL_RECIPES.map((recipe) => fullStateBytes(total('70b'), recipe) / GB);
  assert.equal(Math.round(eightBit), 423);
  assert.equal(Math.round(bf16), 564);
  // What the quoted range leaves out: f32 moments, and the classic 16 bytes a parameter.
  assert.equal(Math.round(f32), 847);
  assert.equal(Math.round(master), 1129);
});

test('100 full 70B variants are 14 TB; as adapters 140 GB + 10 GB at rank 12 on attention in bf16', () => {
  const plan = planFrom({ model: presetModel('70b'), rank: 12, adapterFormat: 'bf16', adapters: 100 });
  assert.equal(Math.round(plan.storage.fullCopiesBytes / 1e12), 14);
  assert.equal(Math.round(plan.storage.baseBytes / GB), 141);
  assert.equal(plan.storage.adapterBytes, 98_304_000);
  assert.equal(Math.round((plan.storage.withAdaptersBytes - plan.storage.baseBytes) / GB), 10);
});

test('an adapter of a 70B is 50 to 200 MB: rank 8 to 16 on attention in bf16, rank 8 in f32; all linear is at the top', () => {
  const megabytes = (rank: number, targets: string, adapterFormat: string): number =>
    Math.round(planFrom({ model: presetModel('70b'), rank, targets, adapterFormat }).trainable.adapterBytes / 1e6);
  assert.equal(megabytes(8, 'attention', 'bf16'), 66);
  assert.equal(megabytes(8, 'attention', 'f32'), 131);
  assert.equal(megabytes(16, 'attention', 'bf16'), 131);
  assert.equal(megabytes(8, 'all-linear', 'bf16'), 207);
  assert.equal(megabytes(8, 'attention-qv', 'bf16'), 33, 'below the range: q and v alone');
});

test('about 13 M trainable in a 3B at rank 8 is all linear layers; attention alone is 4 to 6 M', () => {
  const count = (name: string, targets: string): number => countTrainable(config(name), 'lora', 8, targets).parameters;
  assert.equal(count('3b', 'attention'), 4_587_520);
  assert.equal(count('open-llama-3b', 'attention'), 5_324_800);
  assert.equal(count('3b', 'all-linear'), 12_156_928);
  assert.equal(count('open-llama-3b', 'all-linear'), 12_712_960);
});

test('0.43 % is of the blocks without embeddings (Llama-3.2-3B), or 13 M of a round 3 B; of all parameters it is 0.38 %', () => {
  const { parameters, share } = countTrainable(config('3b'), 'lora', 8, 'all-linear');
  const counts = countParameters(config('3b'));
  assert.equal((share * 100).toFixed(2), '0.38');
  assert.equal(((parameters / (counts.total - counts.embedding)) * 100).toFixed(2), '0.43');
  assert.equal(((13e6 / 3e9) * 100).toFixed(2), '0.43');
  const openLlama = planFrom({ model: presetModel('open-llama-3b'), targets: 'all-linear' }).trainable;
  assert.equal((openLlama.share * 100).toFixed(2), '0.37');
  assert.equal(((openLlama.shareOfNominal as number) * 100).toFixed(2), '0.42');
});

test('a 65B in NF4 leaves 48 GB room for training (QLoRA), though magnitudes are held in 32 bits here', () => {
  const gigabytes = weightBytes(config('65b'), 'nf4') / GB;
  assert.ok(gigabytes > 36 && gigabytes < 38, `${gigabytes}`);
  const plan = planFrom({
    model: presetModel('65b'),
    method: 'qlora',
    rank: 64,
    targets: 'all-linear',
    batch: 1,
    seq: 512,
  });
  assert.ok(plan.training.totalBytes > gigabytes * GB);
});

test('keys and values of a 7B are half a megabyte a token in 16 bit; grouped queries make an 8B a quarter of it', () => {
  assert.equal(kvBytesPerToken(config('7b'), 'bf16'), 524_288);
  assert.equal(kvBytesPerToken(config('8b'), 'bf16'), 131_072);
});
