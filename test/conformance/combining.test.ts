/** Adapters combined as PEFT's `add_weighted_adapter` combines them, and any linear method as LoRA. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  combineAdapters,
  compileAdapter,
  composeAdapters,
  convertToLora,
  mergedHooks,
  probeAdapter,
  readArtefact,
  spanHooks,
  writeArtefact,
  type Adapter,
  type Combination,
  type CombineOptions,
} from '../../src/adapters/index.ts';
import { EspalierError } from '../../src/base/index.ts';
import { tensorName } from '../../src/formats/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { assertClose, compareToReference } from '../../src/numeric/compare.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { loadPeftBases, loadPeftCases } from '../support/peft-cases.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray, type GoldenSequence } from './goldens.ts';

interface CombinedGolden {
  readonly adapters: readonly string[];
  readonly weights: readonly number[];
  readonly options: {
    readonly combination_type: Combination;
    readonly svd_rank?: number;
    readonly density?: number;
    readonly majority_sign_method?: 'total' | 'frequency';
  };
  readonly deltas: Readonly<Record<string, GoldenArray>>;
  readonly sequence: GoldenSequence;
}

const folder = mkdtempSync(join(tmpdir(), 'combining-'));
after(() => rmSync(folder, { recursive: true }));
const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');
const { combinations } = readGolden<{ combinations: Readonly<Record<string, CombinedGolden>> }>(
  'peft',
  'combining',
  'golden.json',
);
const adapters = new Map(
  ['first', 'second', 'third'].map((name) => [name, readArtefact(join(GOLDEN, 'peft', 'combining', name), base)]),
);

/** The coin of make_combining.py. */
const coin = (density: number) => () => (part: number, i: number, length: number) =>
  (7919 * i + 104_729 * part + length) % 1000 < 1000 * density;

function optionsOf({ options }: CombinedGolden): CombineOptions {
  return {
    type: options.combination_type,
    rank: options.svd_rank,
    density: options.density,
    majoritySign: options.majority_sign_method,
    keepValues: coin(options.density ?? 1),
  };
}

function partsOf({ adapters: names, weights }: CombinedGolden) {
  return names.map((what, index) => ({
    what,
    adapter: adapters.get(what) ?? assert.fail(what),
    weight: weights[index],
  }));
}

function logitsOf(adapter: Adapter, tokenIds: readonly number[], of = base): ArrayLike<number> {
  const compiled = compileAdapter(adapter, of);
  return forwardLogits(of, [tokenIds], spanHooks([{ begin: 0, end: tokenIds.length, adapter: compiled }]))[0];
}

for (const [name, golden] of Object.entries(combinations)) {
  describe(name, () => {
    const combined = combineAdapters(partsOf(golden), optionsOf(golden), base);

    test('ΔW is PEFT’s', () => {
      for (const [path, expected] of Object.entries(golden.deltas)) {
        const site = base.sites.find((one) => one.path === path) ?? assert.fail(path);
        const [a, b] = ['lora_A', 'lora_B'].map((part) => combined.tensors.get(tensorName(path, `${part}.weight`)));
        assert.ok(a && b);
        const delta = new Float32Array(site.out * site.in);
        base.kernels.gemm(delta, b.data, a.data, { M: site.out, N: site.in, K: a.shape[0] });
        assertClose(delta, floatsOf(expected), 'goldenF32', path);
      }
    });

    test('a folder of it has PEFT’s logits, served and merged', () => {
      const target = join(folder, name);
      writeArtefact(target, combined, base.digest);
      const read = readArtefact(target, base);
      const { tokenIds, logits } = golden.sequence;
      assertClose(logitsOf(read, tokenIds), floatsOf(logits), 'goldenF32', 'served');
      assertClose(forwardLogits(base, [tokenIds], mergedHooks(read, base))[0], floatsOf(logits), 'goldenF32', 'merged');
      probeAdapter(base, read);
    });
  });
}

test('a served mix is PEFT’s cat: the weighted sum itself, which linear is not', () => {
  for (const [name, isSame] of [
    ['cat', true],
    ['linear', false],
  ] as const) {
    const golden = combinations[name];
    const mix = composeAdapters(
      partsOf(golden).map(({ adapter, weight }) => ({ adapter: compileAdapter(adapter, base), weight })),
    );
    const { tokenIds, logits } = golden.sequence;
    const hooks = spanHooks([{ begin: 0, end: tokenIds.length, adapter: mix }]);
    const { passes } = compareToReference(forwardLogits(base, [tokenIds], hooks)[0], floatsOf(logits), 'goldenF32');
    assert.equal(passes, isSame, name);
  }
});

test('laws: DARE with density 1 is linear, and its mean over seeds is linear too; of one adapter nothing but the scale is left', () => {
  const { sequence, ...golden } = combinations['dare-linear-svd'];
  const parts = partsOf({ ...golden, sequence });
  const whole = combineAdapters(parts, { type: 'dare_linear', density: 1 }, base);
  const linear = combineAdapters(parts, { type: 'linear' }, base);
  for (const [name, { data }] of linear.tensors) assert.deepEqual(whole.tensors.get(name)?.data, data, name);
  const name = tensorName('model.layers.0.self_attn.q_proj', 'lora_A.weight');
  const expected = linear.tensors.get(name)?.data ?? assert.fail();
  const mean = new Float64Array(expected.length);
  const NUM_SEEDS = 100;
  let zeros = 0;
  for (let seed = 0; seed < NUM_SEEDS; seed++) {
    const dare = combineAdapters(parts, { type: 'dare_linear', density: 0.5, seed }, base).tensors.get(name)?.data;
    for (const [i, value] of (dare ?? assert.fail()).entries()) {
      mean[i] += value / NUM_SEEDS;
      if (value === 0) zeros++;
    }
  }
  // A value is zero when both coins say so: one in four. Its deviation over the seeds is at most its size: a tenth of it in the mean.
  assert.ok(Math.abs(zeros / (NUM_SEEDS * mean.length) - 0.25) < 0.01, 'zeros');
  assertClose(mean, expected, 0.15, 'the mean of DARE');
  const [only] = parts;
  const alone = combineAdapters([{ ...only, weight: 2 }], { type: 'ties', density: 0.1 }, base);
  const { tokenIds } = sequence;
  const twice = composeAdapters([{ adapter: compileAdapter(only.adapter, base), weight: 2 }]);
  const hooks = spanHooks([{ begin: 0, end: tokenIds.length, adapter: twice }]);
  assertClose(logitsOf(alone, tokenIds), forwardLogits(base, [tokenIds], hooks)[0], 'goldenF32', 'alone');
});

test('what cannot be combined is refused by name', () => {
  const part = (what: string, weight = 1) => ({ what, adapter: adapters.get(what) ?? assert.fail(), weight });
  const refusal = (run: () => unknown): EspalierError => {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof EspalierError);
      return error;
    }
    return assert.fail('nothing was refused');
  };
  const ranks = refusal(() => combineAdapters([part('first'), part('third')], { type: 'linear' }, base));
  assert.match(ranks.message, /third has rank 2, first rank 4/);
  const density = refusal(() => combineAdapters([part('first'), part('second')], { type: 'ties' }, base));
  assert.equal(density.param, 'density');
  const cases = new Map(loadPeftCases(loadPeftBases()).map((one) => [one.name, one]));
  for (const [name, type, reason] of [
    ['dora', 'linear', /dora is not plain LoRA/],
    ['dora', 'cat', /dora adds no product of low rank/],
    ['lora-bias', 'ties', /changes biases/],
    ['prompt', 'svd', /virtual tokens/],
    ['lora-tokens', 'svd', /trained tokens/],
  ] as const) {
    const { adapter, base: own } = cases.get(name) ?? assert.fail(name);
    const parts = [1, 1].map((weight) => ({ what: name, adapter, weight }));
    assert.match(refusal(() => combineAdapters(parts, { type, density: 0.5, rank: 2 }, own)).message, reason);
  }
});

describe('any linear method as LoRA', () => {
  const golden = readGolden<Record<string, Readonly<Record<string, readonly number[]>>>>(
    'peft',
    'combining',
    'converting.json',
  );
  for (const one of loadPeftCases(loadPeftBases())) {
    const { [one.name]: expected } = golden;
    if (!expected) continue;
    const { name, adapter, base: own } = one;

    test(`${name}: ranks and errors are those of numpy’s singular values of ΔW`, () => {
      const RANK = 3;
      const [byRank, byEnergy] = [{ rank: RANK }, { energy: 0.9 }].map((size) =>
        convertToLora(adapter, own, size, name),
      );
      assert.equal(byRank.modules.length, Object.keys(expected).length);
      let [left, all] = [0, 0];
      for (const [path, values] of Object.entries(expected)) {
        const squares = values.map((value) => value * value);
        const total = squares.reduce((sum, value) => sum + value, 0);
        const tail = squares.slice(RANK).reduce((sum, value) => sum + value, 0);
        left += tail;
        all += total;
        const module = byRank.modules.find((found) => found.path === path) ?? assert.fail(path);
        assert.ok(Math.abs(module.norm / Math.sqrt(total) - 1) < 1e-5, `${path}: norm`);
        assert.ok(Math.abs(module.error - Math.sqrt(tail / total)) < 1e-5, `${path}: error ${module.error}`);
        let [kept, rank] = [0, 0];
        while (kept < 0.9 * total) kept += squares[rank++];
        assert.equal(byEnergy.modules.find((found) => found.path === path)?.rank, rank, `${path}: rank`);
      }
      assert.ok(Math.abs(byRank.error - Math.sqrt(left / all)) < 1e-5, 'error in all');
      assert.ok(byEnergy.error < Math.sqrt(0.1) + 1e-6);
    });

    test(`${name}: with all of the energy the LoRA has the logits that PEFT gives the adapter`, () => {
      const { adapter: converted, error } = convertToLora(adapter, own, { energy: 1 }, name);
      assert.ok(error < 1e-6);
      const target = join(folder, `converted-${name}`);
      writeArtefact(target, converted, own.digest);
      for (const { tokenIds, logits } of one.golden.sequences) {
        assertClose(logitsOf(readArtefact(target, own), tokenIds, own), floatsOf(logits), 'goldenF32', name);
      }
    });
  }

  test('a rank that the adapter already has keeps its factors bit for bit', () => {
    const adapter = adapters.get('third') ?? assert.fail();
    const { adapter: converted, error } = convertToLora(adapter, base, { rank: 2 }, 'third');
    assert.equal(error, 0);
    for (const [name, { data }] of adapter.tensors)
      assert.deepEqual([...(converted.tensors.get(name)?.data ?? [])], [...data]);
  });
});
