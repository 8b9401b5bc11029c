/** Every method that can be trained: PEFT's gradients and losses, the training form against the serving form, folders, first values. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  mergedHooks,
  methodOf,
  readArtefact,
  TRAINABLE_METHODS,
  trainableMethodOf,
  writeArtefact,
  type Adapter,
  type CompiledAdapter,
} from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import { openSafetensors, type PeftConfig } from '../../src/formats/index.ts';
import type { BaseModel } from '../../src/model/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { sizeOf } from '../../src/numeric/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { loadPeftBases, loadPeftCases, type MethodGolden, type PeftCase } from '../support/peft-cases.ts';
import { replayTraining, type ReplaySettings } from '../support/replay-training.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray } from './goldens.ts';

/** What test/golden/peft/make_training.py and make_token_training.py write beside an adapter. */
interface TrainingGolden {
  readonly settings: ReplaySettings;
  readonly losses: readonly number[];
  readonly learningRates: readonly number[];
  readonly gradNorms: readonly number[];
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
  /** AdaLoRA's ranks that are left at the end, by PEFT's keys. */
  readonly rankPattern?: Readonly<Record<string, readonly boolean[]>>;
  readonly gradients: Readonly<Record<'1', Readonly<Record<string, GoldenArray>>>>;
}

/** Relative to PEFT's; the bars. */
const LOSS_TOLERANCE = 1e-4;
const NORM_TOLERANCE = 1e-3;

/** What make_token_training.py writes of virtual tokens that an encoder makes. */
interface EncoderGolden extends TrainingGolden, MethodGolden {}

const BASES = loadPeftBases();
const CASES = loadPeftCases(BASES).filter(({ name }) =>
  existsSync(join(GOLDEN, 'peft', 'methods', name, 'training.json')),
);

const ENCODERS = readdirSync(join(GOLDEN, 'peft', 'encoders')).map((name) => {
  const golden = readGolden<EncoderGolden>('peft', 'encoders', name, 'training.json');
  const base = BASES.get(golden.base);
  assert.ok(base, `${name} is on a known base`);
  const folder = join(GOLDEN, 'peft', 'encoders', name);
  return { name, golden, base, folder, adapter: readArtefact(folder, base) };
});

test('every method that can be trained has a golden', () => {
  const covered = new Set([...CASES, ...ENCODERS].map(({ adapter }) => methodOf(adapter.config).name));
  for (const { name } of TRAINABLE_METHODS) assert.ok(covered.has(name), name);
});

for (const one of CASES) {
  describe(`${one.name}: ${one.golden.about}`, () => {
    test('losses and gradients are PEFT’s', () => comparesWithPeft(one));
    test('the training form gives PEFT’s logits, as the serving form does', () => bindsAsItCompiles(one));
    test('what its method makes anew is a whole artefact that changes nothing', () => startsAsTheBase(one));
  });
}

for (const { name, golden, base, folder, adapter } of ENCODERS) {
  test(`${name}: ${golden.about}: losses, gradients and the saved folder are PEFT’s`, () => {
    const encoder = openSafetensors(join(folder, 'encoder.safetensors'));
    const tensors = new Map(
      [...encoder.tensors].map(([tensor, { shape }]) => [tensor, { shape, data: encoder.readFloats(tensor) }]),
    );
    encoder.close();
    const trained = comparesTraining(golden, base, { config: adapter.config, tensors });
    const method = trainableMethodOf(adapter.config);
    const folded = method.fold?.(adapter.config, base, trained.tensors);
    assert.ok(folded);
    assert.deepEqual([...folded.keys()], [...adapter.tensors.keys()]);
    for (const [tensor, { data }] of adapter.tensors) {
      assertClose(folded.get(tensor)?.data ?? [], data, 'goldenF32', tensor);
    }
    const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
    const hooks = method.bind(adapter.config, base, trained.tensors, { dropoutRng: undefined });
    for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
      assertClose(logits, floatsOf(golden.sequences[index].logits), 'goldenF32', `sequence ${index}`);
    }
  });
}

function comparesWithPeft({ name, base, adapter }: PeftCase): void {
  comparesTraining(readGolden<TrainingGolden>('peft', 'methods', name, 'training.json'), base, adapter);
}

/** @returns the adapter after the last step */
function comparesTraining(golden: TrainingGolden, base: BaseModel, adapter: Adapter): Adapter {
  const { settings, learningRates } = golden;
  const batches = golden.batches.map((batch) =>
    batch.map(({ tokenIds, lossWeights }) => ({
      tokenIds: Int32Array.from(tokenIds),
      lossWeights: Float32Array.from(lossWeights),
    })),
  );
  const keepsGradients = (step: number): boolean => step === 1;
  const { steps, trained } = replayTraining(base, adapter, { batches, learningRates, settings, keepsGradients });
  for (const [index, expected] of golden.losses.entries()) {
    const { loss, gradientNorm } = steps[index];
    assert.ok(Math.abs(loss / expected - 1) <= LOSS_TOLERANCE, `step ${index + 1}: loss ${loss}, PEFT ${expected}`);
    const norm = golden.gradNorms[index];
    assert.ok(
      Math.abs(gradientNorm - norm) <= NORM_TOLERANCE * norm,
      `step ${index + 1}: norm ${gradientNorm}, ${norm}`,
    );
  }
  if (golden.rankPattern) {
    const saved = trainableMethodOf(trained.config).saved?.(trained.config, trained.tensors);
    assert.ok(saved?.config.peft_type === 'ADALORA');
    assert.deepEqual(saved.config.rank_pattern, golden.rankPattern);
  }
  const { gradients } = steps[0];
  assert.ok(gradients);
  assert.deepEqual([...gradients.keys()].toSorted(), Object.keys(golden.gradients['1']).toSorted());
  for (const [tensor, expected] of Object.entries(golden.gradients['1'])) {
    assertClose(gradients.get(tensor) ?? [], floatsOf(expected), 'gradientF32', tensor);
  }
  return trained;
}

function bindsAsItCompiles({ base, adapter, compiled, golden }: PeftCase): void {
  const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
  const hooks = trainableMethodOf(adapter.config).bind(adapter.config, base, adapter.tensors, {
    dropoutRng: undefined,
  });
  // Merged layers have nothing of what an adapter changes outside of them.
  const isMergeable = methodOf(adapter.config).merge !== undefined && !hasOuterParts(compiled);
  const merged = isMergeable ? forwardLogits(base, ids, mergedHooks(adapter, base)) : undefined;
  for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
    assertClose(logits, floatsOf(golden.sequences[index].logits), 'goldenF32', `sequence ${index}`);
    if (merged) assertClose(logits, merged[index], 'goldenF32', `sequence ${index}, merged`);
  }
}

function hasOuterParts({ tokenRows, norms, embedding, head }: CompiledAdapter): boolean {
  return (tokenRows ?? norms ?? embedding ?? head) !== undefined;
}

function withDropout(config: PeftConfig): PeftConfig {
  switch (config.peft_type) {
    case 'LORA':
    case 'ADALORA':
      return { ...config, lora_dropout: 0.5 };
    case 'VERA':
      return { ...config, vera_dropout: 0.5 };
    case 'MISS':
      return { ...config, miss_dropout: 0.5 };
    case 'RANDLORA':
      return { ...config, randlora_dropout: 0.5 };
    case 'VBLORA':
      return { ...config, vblora_dropout: 0.5 };
    default:
      return config;
  }
}

/** Settings with which a new adapter is the base: FourierFT's paper starts elsewhere. */
function startingAsTheBase(config: PeftConfig): PeftConfig {
  return config.peft_type === 'FOURIERFT' ? { ...config, init_weights: true } : config;
}

/** VB-LoRA's bank is small, not zero: the new adapter changes a little. */
const startTolerance = ({ peft_type: type }: PeftConfig): 'goldenF32' | 0.02 =>
  type === 'VBLORA' ? 0.02 : 'goldenF32';

function startsAsTheBase({ base, adapter, golden }: PeftCase): void {
  const config = startingAsTheBase(adapter.config);
  const method = trainableMethodOf(config);
  const tensors = new Map(
    method.parameters(config, base.sites, base.config).map((parameter) => {
      const value = { shape: parameter.shape, data: new Float32Array(sizeOf(parameter.shape)) };
      method.initialise(config, parameter, value.data, Rng.fromSeed(3, parameter.drawnAs ?? parameter.name), base);
      return [parameter.name, value];
    }),
  );
  const folder = mkdtempSync(join(tmpdir(), 'espalier-method-'));
  try {
    const saved = method.fold?.(config, base, tensors) ?? tensors;
    writeArtefact(folder, { config, tensors: saved }, base.digest);
    const read = readArtefact(folder, base);
    assert.deepEqual([...read.tensors.keys()].toSorted(), [...saved.keys()].toSorted());
    for (const [name, { data }] of read.tensors) assert.deepEqual(data, saved.get(name)?.data, name);
  } finally {
    rmSync(folder, { recursive: true });
  }
  // Virtual tokens take their part of the attention whatever they hold.
  if (methodOf(config).compile(config, base, tensors).virtual) return;
  const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
  const plain = forwardLogits(base, ids);
  // With dropout too: what a new adapter adds is nothing, whatever it sees.
  for (const dropoutRng of [undefined, Rng.fromSeed(4)]) {
    const hooks = method.bind(withDropout(config), base, tensors, { dropoutRng });
    for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
      assertClose(logits, plain[index], startTolerance(config), `sequence ${index}`);
    }
  }
}
