/** LoRA's other starts, rates and frozen parts: PEFT's first values, losses and gradients, and the folder that works on the unchanged base. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  asPlainLora,
  compileAdapter,
  mergedLinear,
  readArtefact,
  spanHooks,
  withoutStart,
  writeArtefact,
  type Adapter,
  type LoraPair,
} from '../../src/adapters/index.ts';
import { defaultLoraConfig, parsePeftConfig, tensorName, type LoraConfig } from '../../src/formats/index.ts';
import { loadBase, openSource, type BaseModel, type LinearSite } from '../../src/model/index.ts';
import { assertClose, compareToReference } from '../../src/numeric/compare.ts';
import { Inference, BufferPool, loadNativeKernels, type Tensor } from '../../src/numeric/index.ts';
import { LORA_STARTS, startLora, type LoraStartName, type StartedLora } from '../../src/training/lora-start.ts';
import { makeObjective } from '../../src/training/objectives/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { replayTraining, type ReplaySettings } from '../support/replay-training.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray, type GoldenSequence } from './goldens.ts';

/** What test/golden/peft/make_lora_starts.py writes. */
interface StartGolden {
  readonly config: Pick<LoraConfig, 'r' | 'lora_alpha' | 'use_rslora' | 'target_modules'>;
  readonly settings: ReplaySettings & { readonly learning_rate: number; readonly steps: number };
  readonly rateRatio: number | null;
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
  readonly start: Readonly<Record<string, { scale: number; A: GoldenArray; B: GoldenArray }>>;
  readonly sequences: readonly GoldenSequence[];
}

const LOSS_TOLERANCE = 1e-4;
const NORM_TOLERANCE = 1e-3;
/** Decompositions in float32, two programs: a vector moves by the rounding over the gap to its neighbour. */
const START_TOLERANCE = 1e-3;

const kernels = loadNativeKernels();
const PATH = join(GOLDEN, 'models', 'tiny-llama');
const plain = loadBase(PATH, 'tiny-llama', kernels, 'f32');

function examplesOf({ batches }: StartGolden) {
  return batches.map((batch) =>
    batch.map(({ tokenIds, lossWeights }) => ({
      tokenIds: Int32Array.from(tokenIds),
      lossWeights: Float32Array.from(lossWeights),
    })),
  );
}

const configOf = (golden: StartGolden): LoraConfig => ({ ...defaultLoraConfig(), ...golden.config });

function startOf(name: LoraStartName, golden: StartGolden, base: BaseModel): StartedLora {
  const objective = makeObjective({ name: 'sft' }, base, new Inference(kernels, new BufferPool()));
  const source = openSource(PATH);
  try {
    return startLora(name, configOf(golden), base, {
      objective,
      batches: [objective.pack(examplesOf(golden)[0])],
      original: ({ path }: LinearSite) => source.read(`${path}.weight`),
    });
  } finally {
    source.close();
  }
}

function adapterOf(config: LoraConfig, pairs: Iterable<readonly [string, LoraPair]>): Adapter {
  const tensors = new Map<string, Tensor>();
  for (const [path, { a_RI, b_OR }] of pairs) {
    tensors.set(tensorName(path, 'lora_A.weight'), a_RI);
    tensors.set(tensorName(path, 'lora_B.weight'), b_OR);
  }
  return { config, tensors };
}

function goldenPairs({ start }: StartGolden) {
  return Object.entries(start).map(([path, { A, B }]) => {
    const pair = {
      a_RI: { shape: A.shape, data: floatsOf(A) },
      b_OR: { shape: B.shape, data: floatsOf(B) },
    };
    return [path, pair] as const;
  });
}

/**
 * The signs of singular vectors are anybody's: rows of A, and columns of B with them, turned as PEFT's are. LoRA-GA's A and B are of different
 * vectors, with signs of their own.
 */
function turned(own: LoraPair, peft: LoraPair, areApart: boolean): LoraPair {
  const [R, I] = own.a_RI.shape as [number, number];
  const signsOf = (a: Tensor, b: Tensor, rankOf: (at: number) => number): number[] => {
    const sums = new Float64Array(R);
    for (let at = 0; at < a.data.length; at++) sums[rankOf(at)] += a.data[at] * b.data[at];
    return [...sums].map(Math.sign);
  };
  const ofA = signsOf(own.a_RI, peft.a_RI, (at) => Math.floor(at / I));
  const ofB = areApart ? signsOf(own.b_OR, peft.b_OR, (at) => at % R) : ofA;
  return {
    a_RI: { shape: own.a_RI.shape, data: own.a_RI.data.map((value, at) => value * ofA[Math.floor(at / I)]) },
    b_OR: { shape: own.b_OR.shape, data: own.b_OR.data.map((value, at) => value * ofB[at % R]) },
  };
}

function comparesTraining(golden: StartGolden, base: BaseModel, initial: Adapter, extras: object): Adapter {
  const { settings } = golden;
  const { steps, trained } = replayTraining(base, initial, {
    batches: examplesOf(golden),
    learningRates: golden.losses.map(() => settings.learning_rate),
    settings,
    ...extras,
  });
  for (const [index, expected] of golden.losses.entries()) {
    const { loss, gradientNorm } = steps[index];
    assert.ok(Math.abs(loss / expected - 1) <= LOSS_TOLERANCE, `step ${index + 1}: loss ${loss}, PEFT ${expected}`);
    const norm = golden.gradNorms[index];
    assert.ok(Math.abs(gradientNorm / norm - 1) <= NORM_TOLERANCE, `step ${index + 1}: norm ${gradientNorm}, ${norm}`);
  }
  return trained;
}

function servesAs(golden: StartGolden, base: BaseModel, adapter: Adapter): void {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-start-'));
  try {
    writeArtefact(folder, adapter, base.digest);
    const compiled = compileAdapter(readArtefact(folder, base), base);
    const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
    const hooks = spanHooks([{ begin: 0, end: ids.flat().length, adapter: compiled }]);
    for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
      // After 20 steps, in which the last bits have grown.
      assertClose(logits, floatsOf(golden.sequences[index].logits), START_TOLERANCE, `sequence ${index}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const name of LORA_STARTS) {
  describe(`--start ${name}`, () => {
    const golden = readGolden<StartGolden>('peft', 'lora-starts', `${name}.json`);
    const base = name === 'loftq' ? loadBase(PATH, 'tiny-llama', kernels, 'nf4') : plain;
    const config = configOf(golden);
    const { pairs: own, isTakenOff } = startOf(name, golden, base);
    const pairs = new Map(
      goldenPairs(golden).map(([path, peft]) => {
        const pair = own.get(path);
        assert.ok(pair, path);
        return [path, turned(pair, peft, name === 'lora-ga')] as const;
      }),
    );

    test('first values are PEFT’s', () => {
      assert.equal(own.size, pairs.size);
      for (const [path, peft] of goldenPairs(golden)) {
        const { a_RI, b_OR } = pairs.get(path) as LoraPair;
        // Of EVA's components the last lie too close together to be told apart in float32; they make no difference that shows below.
        const rows = name === 'eva' ? 4 * a_RI.shape[1] : a_RI.data.length;
        assertClose(a_RI.data.subarray(0, rows), peft.a_RI.data.subarray(0, rows), START_TOLERANCE, `${path} A`);
        if (name === 'eva') assert.ok(b_OR.data.every((value) => value === 0));
        else assertClose(b_OR.data, peft.b_OR.data, START_TOLERANCE, `${path} B`);
      }
    });

    test('20 losses and gradient norms are PEFT’s, and the saved adapter gives its logits on the unchanged base', () => {
      const extras = isTakenOff
        ? { hooks: (own: Parameters<typeof withoutStart>[1]) => withoutStart(config, own, pairs) }
        : {};
      const trained = comparesTraining(golden, base, adapterOf(config, pairs), extras);
      assert.ok(trained.config.peft_type === 'LORA');
      servesAs(golden, base, isTakenOff ? asPlainLora(trained.config, trained.tensors, pairs) : trained);
    });

    if (isTakenOff) {
      test('a new adapter changes nothing, and saved is of twice the rank with the same scale', () => {
        const saved = asPlainLora(config, adapterOf(config, pairs).tensors, pairs);
        assert.equal(saved.config.r, 2 * config.r);
        assert.deepEqual(parsePeftConfig(JSON.parse(JSON.stringify(saved.config)), 'saved'), saved.config);
        const ids = golden.sequences.map(({ tokenIds }) => tokenIds);
        const compiled = compileAdapter(saved, base);
        const hooks = spanHooks([{ begin: 0, end: ids.flat().length, adapter: compiled }]);
        const expected = forwardLogits(base, ids);
        for (const [index, logits] of forwardLogits(base, ids, hooks).entries()) {
          assertClose(logits, expected[index], 'goldenF32', `sequence ${index}`);
        }
      });
    }
  });
}

test('LoftQ’s start brings every layer nearer to its weights before they were quantised', () => {
  const golden = readGolden<StartGolden>('peft', 'lora-starts', 'loftq.json');
  const base = loadBase(PATH, 'tiny-llama', kernels, 'nf4');
  const { pairs } = startOf('loftq', golden, base);
  const adapter = adapterOf(configOf(golden), pairs);
  const source = openSource(PATH);
  for (const site of base.sites.filter(({ path }) => pairs.has(path))) {
    const original = source.read(`${site.path}.weight`);
    const errorOf = (weight: ArrayLike<number>): number => compareToReference(weight, original, Infinity).error;
    const served = kernels.thaw(base.layers[site.layer].linear[site.role].weight);
    assert.ok(errorOf(mergedLinear(adapter, base, site).weight_OI) < 0.9 * errorOf(served), site.path);
  }
  source.close();
});

test('LoRA+: B learns faster than A, and LoRA-FA: A keeps its values; losses are PEFT’s', () => {
  for (const name of ['lora-plus', 'lora-fa']) {
    const golden = readGolden<StartGolden>('peft', 'lora-starts', `${name}.json`);
    const initial = adapterOf(configOf(golden), goldenPairs(golden));
    const isFrozen = (tensor: string): boolean => name === 'lora-fa' && tensor.endsWith('lora_A.weight');
    const trained = comparesTraining(golden, plain, initial, { isFrozen, rateRatio: golden.rateRatio ?? undefined });
    servesAs(golden, plain, trained);
    for (const [tensor, { data }] of trained.tensors) {
      if (isFrozen(tensor)) assert.deepEqual(data, initial.tensors.get(tensor)?.data);
      else assert.notDeepEqual(data, initial.tensors.get(tensor)?.data);
    }
  }
});
