import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { trainableMethodOf } from '../adapters/index.ts';
import { Rng } from '../base/index.ts';
import { defaultLoraConfig } from '../formats/index.ts';
import { loadBase, type BaseModel } from '../model/index.ts';
import { BufferPool, Inference, loadNativeKernels, referenceKernels, Tape, type Parameter } from '../numeric/index.ts';
import { assertClose } from '../numeric/compare.ts';
import { GOLDEN } from '../../test/conformance/goldens.ts';
import { groupByTokens, packExamples, type TokenExample } from './pack.ts';
import { groupBySharedRows, withSharedPrefix } from './shared-prefix.ts';
import { evaluateStep, trainStep } from './step.ts';

const CONFIG = { ...defaultLoraConfig(), r: 2, lora_alpha: 4, target_modules: 'all-linear' };
const MODEL = join(GOLDEN, 'models', 'tiny-llama');

/** Examples with a beginning of `prefix` tokens, a tail of their own, and loss from row `lossFrom` on. */
function examplesOf(rng: Rng, prefix: number, tails: readonly number[], lossFrom = prefix): TokenExample[] {
  const beginning = Array.from({ length: prefix }, () => rng.nextBelow(90));
  return tails.map((tail, n) => {
    // The first token of a tail tells it from all others.
    const tokenIds = Int32Array.from([
      ...beginning,
      ...Array.from({ length: tail }, (_, i) => (i ? rng.nextBelow(90) : n)),
    ]);
    return { tokenIds, lossWeights: Float32Array.from(tokenIds, (_, i) => (i >= lossFrom ? 0.5 + (i % 2) : 0)) };
  });
}

function adapter(base: BaseModel, rng: Rng, exact: boolean): Parameter[] {
  return trainableMethodOf(CONFIG)
    .parameters(CONFIG, base.sites, base.config)
    .map(({ name, shape }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const normal = Float64Array.from({ length: size }, () => 0.2 * rng.nextNormal());
      const [data, gradient] = exact
        ? [normal, new Float64Array(size)]
        : [Float32Array.from(normal), new Float32Array(size)];
      return { name, value: { shape, data }, gradient: { shape, data: gradient } };
    });
}

function bind(base: BaseModel, parameters: readonly Parameter[]) {
  const tensors = new Map(parameters.map(({ name, value }) => [name, value]));
  return trainableMethodOf(CONFIG).bind(CONFIG, base, tensors, { dropoutRng: undefined });
}

const CASES: readonly (readonly [string, readonly TokenExample[]])[] = [
  ['tails of several lengths', examplesOf(Rng.fromSeed(1), 9, [4, 1, 12, 3])],
  ['an example that is the beginning alone', examplesOf(Rng.fromSeed(2), 10, [0, 5, 2])],
  ['loss inside the beginning, where next tokens differ', examplesOf(Rng.fromSeed(3), 12, [3, 4], 6)],
  ['equal examples', [...examplesOf(Rng.fromSeed(4), 14, [0], 7), ...examplesOf(Rng.fromSeed(4), 14, [0], 7)]],
  [
    'beginnings of some, of others, and of those in part',
    [
      ...examplesOf(Rng.fromSeed(11), 9, [4, 6]),
      ...examplesOf(Rng.fromSeed(12), 13, [3, 2, 5]),
      ...examplesOf(Rng.fromSeed(11), 9, [8]),
      ...examplesOf(Rng.fromSeed(13), 20, [1]),
    ],
  ],
  [
    'pairs after prompts of their own',
    [5, 6, 7].flatMap((seed) =>
      examplesOf(Rng.fromSeed(seed), 4 + seed, [6]).map(({ tokenIds, lossWeights }) => ({
        tokenIds: Int32Array.from([...tokenIds, ...tokenIds.subarray(0, 6 + seed)]),
        lossWeights: Float32Array.from([...lossWeights, ...lossWeights.subarray(0, 6 + seed)]),
        ends: [tokenIds.length, tokenIds.length + 6 + seed],
      })),
    ),
  ],
  [
    'pairs after one prompt',
    examplesOf(Rng.fromSeed(5), 11, [6, 8]).map(({ tokenIds, lossWeights }) => ({
      tokenIds: Int32Array.from([...tokenIds, ...tokenIds.subarray(0, 13)]),
      lossWeights: Float32Array.from([...lossWeights, ...lossWeights.subarray(0, 13)]),
      ends: [tokenIds.length, tokenIds.length + 13],
    })),
  ],
];

for (const [name, examples] of CASES) {
  test(`${name}: the same loss and gradients with fewer rows`, () => {
    const base = loadBase(MODEL, 'tiny', referenceKernels(), 'f32');
    const parameters = adapter(base, Rng.fromSeed(7), true);
    const batch = packExamples(examples);
    const shared = withSharedPrefix(batch);
    assert.ok(shared.tokenIds_T.length < batch.tokenIds_T.length, 'rows are shared');
    const pool = new BufferPool('f64');
    const gradients = [false, true].map((shares) => {
      const tape = new Tape(base.kernels, pool, parameters);
      const { lossSum, numTop } = trainStep(tape, base, bind(base, parameters), batch, undefined, shares);
      const values = parameters.map(({ gradient }) => Float64Array.from(gradient.data));
      for (const { gradient } of parameters) gradient.data.fill(0);
      return { lossSum, numTop, values };
    });
    assert.equal(gradients[1].lossSum, gradients[0].lossSum);
    assert.equal(gradients[1].numTop, gradients[0].numTop);
    for (const [index, expected] of gradients[0].values.entries()) {
      assertClose(gradients[1].values[index], expected, 'f64', parameters[index].name);
    }
  });
}

test('the native kernels give the same bits of the loss, and gradients in float32', () => {
  const base = loadBase(MODEL, 'tiny', loadNativeKernels(), 'f32');
  const parameters = adapter(base, Rng.fromSeed(8), false);
  const batch = packExamples(examplesOf(Rng.fromSeed(9), 40, [30, 5, 70, 12, 1]));
  const pool = new BufferPool();
  const g = new Inference(base.kernels, pool);
  const hooks = bind(base, parameters);
  assert.equal(
    evaluateStep(g, base, hooks, batch, undefined, true).lossSum,
    evaluateStep(g, base, hooks, batch).lossSum,
  );
  for (const recompute of [false, true]) {
    const [plain, shared] = [false, true].map((shares) => {
      trainStep(new Tape(base.kernels, pool, parameters, { recompute }), base, hooks, batch, undefined, shares);
      const values = parameters.flatMap(({ gradient }) => [...gradient.data]);
      for (const { gradient } of parameters) gradient.data.fill(0);
      return values;
    });
    assertClose(shared, plain, 'f32Long');
  }
});

test('a batch without a common beginning, or of one sequence, stays as it is', () => {
  const apart = packExamples(examplesOf(Rng.fromSeed(1), 0, [4, 4], 1));
  assert.equal(withSharedPrefix(apart), apart);
  const alone = packExamples(examplesOf(Rng.fromSeed(1), 30, [4]));
  assert.equal(withSharedPrefix(alone).tokenIds_T.length, alone.tokenIds_T.length);
  const empty = packExamples([]);
  assert.equal(withSharedPrefix(empty).tokenIds_T.length, 0);
});

test('a sequence shares the longest beginning that an earlier one has, itself shared or not', () => {
  const sequence = (text: string): TokenExample => {
    const tokenIds = Int32Array.from(text, (letter) => letter.charCodeAt(0) - 97);
    return { tokenIds, lossWeights: new Float32Array(tokenIds.length).fill(1) };
  };
  const { tokenIds_T, positions_T, rows_X } = withSharedPrefix(
    packExamples(['abcd', 'xyz', 'abq', 'abqr', 'xy'].map(sequence)),
  );
  assert.equal(String.fromCharCode(...tokenIds_T.map((id) => id + 97)), 'abcdxyzqr');
  assert.deepEqual([...positions_T], [0, 1, 2, 3, 0, 1, 2, 2, 3]);
  assert.deepEqual([...(rows_X ?? [])], [0, 1, 2, 3, 4, 5, 6, 0, 1, 7, 0, 1, 7, 8, 4, 5]);
});

test('groups hold as many rows as they may, in order, each example once', () => {
  for (let seed = 0; seed < 200; seed++) {
    const rng = Rng.fromSeed(seed, 'groups');
    const prefix = rng.nextBelow(30);
    const tails = Array.from({ length: rng.nextBelow(30) }, () => rng.nextBelow(40));
    const examples = examplesOf(rng, prefix, tails).filter(({ tokenIds }) => tokenIds.length > 0);
    const maxRows = 1 + rng.nextBelow(120);
    const groups = groupBySharedRows(examples, maxRows);
    assert.deepEqual(
      groups.flatMap(([begin, end]) => examples.slice(begin, end)),
      examples,
    );
    const rowsOf = (begin: number, end: number): number =>
      withSharedPrefix(packExamples(examples.slice(begin, end))).tokenIds_T.length;
    for (const [index, [begin, end]] of groups.entries()) {
      const rows = rowsOf(begin, end);
      assert.ok(rows <= maxRows || end === begin + 1, `${rows} rows of ${maxRows}`);
      if (index + 1 < groups.length) assert.ok(rowsOf(begin, end + 1) > maxRows, 'it was full');
    }
    if (prefix === 0) {
      const lengths = examples.map(({ tokenIds }) => tokenIds.length);
      if (examples.length > 1 && tails.some((tail) => tail === 0) === false)
        assert.deepEqual(groups, groupByTokens(lengths, maxRows));
    }
  }
});
