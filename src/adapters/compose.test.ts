import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { randomAdapter } from '../../test/support/tiny-adapters.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { Rng } from '../base/index.ts';
import { loadBase } from '../model/index.ts';
import { compareToReference } from '../numeric/compare.ts';
import { BufferPool, Inference, referenceKernels, type Tensor } from '../numeric/index.ts';
import { compileAdapter } from './artefact.ts';
import { composeAdapters, inMixOrder, mixDigest } from './compose.ts';
import { packAdapter } from './pack.ts';
import { BASE_ADAPTER, spanHooks, type CompiledAdapter, type RowPrimitive } from './primitives.ts';

const folder = mkdtempSync(join(tmpdir(), 'compose-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const base = loadBase(folder, 'tiny', referenceKernels(), 'f32');
const { sites } = base;
const T = 3;

function lora(seed: number, rank: number, targets: readonly string[]): CompiledAdapter {
  return compileAdapter(randomAdapter(sites, { seed, rank, targets }), base);
}

/** What an adapter adds at every site to a base that answers zeros. */
function changes(adapter: CompiledAdapter): Map<string, Float64Array> {
  const g = new Inference(referenceKernels(), new BufferPool('f64'));
  const hooks = spanHooks([{ begin: 0, end: T, adapter }]);
  return new Map(
    sites.map((site) => {
      const rng = Rng.fromSeed(1, site.path);
      const x: Tensor = {
        shape: [T, site.in],
        data: Float64Array.from({ length: T * site.in }, () => rng.nextNormal()),
      };
      const zeros = (): Tensor => ({ shape: [T, site.out], data: new Float64Array(T * site.out) });
      return [site.path, Float64Array.from(hooks.linear(g, site, x, zeros).data)];
    }),
  );
}

test('a mix adds the weighted changes of its parts, at every site', () => {
  const parts = [
    { adapter: lora(1, 4, ['q_proj', 'v_proj']), weight: 0.5 },
    { adapter: lora(2, 2, ['v_proj', 'down_proj']), weight: -1.25 },
    { adapter: lora(3, 8, ['v_proj']), weight: 1 },
  ];
  const mixed = changes(composeAdapters(parts));
  const alone = parts.map(({ adapter, weight }) => ({ changed: changes(adapter), weight }));
  let numChanged = 0;
  for (const [path, actual] of mixed) {
    const expected = actual.map((_, i) =>
      alone.reduce((sum, { changed, weight }) => sum + weight * (changed.get(path)?.[i] ?? NaN), 0),
    );
    if (expected.every((value) => value === 0)) {
      assert.ok(
        actual.every((value) => value === 0),
        path,
      );
      continue;
    }
    numChanged++;
    const { passes, message } = compareToReference(actual, expected, 'f64');
    assert.ok(passes, `${path}: ${message}`);
  }
  assert.equal(numChanged, 2 * 3, 'q, v and down of both layers');
});

test('VeRA and LoKr are sums too: a mix of them with LoRA is the weighted sum of what they do, in float64', () => {
  const rng = Rng.fromSeed(8);
  const tensor = (...shape: [number, ...number[]]): Tensor => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => rng.nextNormal()),
  });
  const { path, in: I, out: O } = sites[0];
  const of = (primitive: RowPrimitive): CompiledAdapter => ({ sites: new Map([[path, [primitive]]]), sizeBytes: 0 });
  const vera = { kind: 'scaled-low-rank-delta', a_RI: tensor(3, I), b_OR: tensor(O, 3) } as const;
  const parts = [
    { adapter: of({ ...vera, inner_R: tensor(3), outer_O: tensor(O) }), weight: 0.75 },
    {
      adapter: of({ kind: 'kronecker-delta', left_AC: tensor(2, 4), right: [tensor(O / 2, I / 4)], scale: 3 }),
      weight: -0.5,
    },
    { adapter: packAdapter(lora(1, 4, ['q_proj']), base), weight: 2 },
  ];
  const actual = changes(composeAdapters(parts)).get(path) ?? assert.fail();
  const alone = parts.map(({ adapter, weight }) => ({ weight, changed: changes(adapter).get(path) ?? assert.fail() }));
  for (const { changed } of alone) assert.ok(changed.some((value) => value !== 0));
  const expected = actual.map((_, i) => alone.reduce((sum, { changed, weight }) => sum + weight * changed[i], 0));
  const { passes, message } = compareToReference(actual, expected, 1e-6);
  assert.ok(passes, message);
});

test('one part with weight 1 is the adapter bit for bit, and takes no memory of its own', () => {
  const adapter = lora(1, 4, ['q_proj']);
  const mix = composeAdapters([{ adapter, weight: 1 }]);
  assert.deepEqual(changes(mix), changes(adapter));
  for (const [path, [primitive]] of mix.sites) {
    const [own] = adapter.sites.get(path) ?? [];
    assert.ok(primitive.kind === 'low-rank-delta' && own.kind === 'low-rank-delta');
    assert.equal(primitive.a_RI, own.a_RI);
  }
  assert.deepEqual(composeAdapters([]), BASE_ADAPTER);
});

test('a bias is weighted too; what is not a sum is refused by name', () => {
  const vector = (...values: number[]): Tensor => ({ shape: [values.length], data: Float32Array.from(values) });
  const path = sites[0].path;
  const bias = { sites: new Map([[path, [{ kind: 'bias', bias_O: vector(1, -2) } as const]]]), sizeBytes: 8 };
  const [mixed] = composeAdapters([{ adapter: bias, weight: 0.5 }]).sites.get(path) ?? [];
  assert.ok(mixed.kind === 'bias');
  assert.deepEqual([...mixed.bias_O.data], [0.5, -1]);
  for (const primitive of [
    { kind: 'scale-output', factor_O: vector(2) },
    { kind: 'scale-input', factor_I: vector(2) },
  ] as const) {
    const scaling = { sites: new Map([[path, [primitive]]]), sizeBytes: 4 };
    assert.throws(
      () =>
        composeAdapters([
          { adapter: bias, weight: 1 },
          { adapter: scaling, weight: 1 },
        ]),
      {
        code: 'REQUEST_INVALID',
        param: 'adapters',
        message: new RegExp(primitive.kind),
      },
    );
  }
});

test('the identity of a mix is its parts and weights in any order, and nothing else', () => {
  const [a, b] = [
    { digest: 'sha256:aa', weight: 1 },
    { digest: 'sha256:bb', weight: 0.5 },
  ];
  assert.equal(mixDigest([a, b]), mixDigest([b, a]));
  assert.deepEqual(inMixOrder([b, a]), [a, b]);
  const others = [
    [a],
    [b],
    [a, { ...b, weight: 0.25 }],
    [
      { ...a, weight: 0.5 },
      { ...b, weight: 1 },
    ],
    [a, b],
  ];
  assert.equal(new Set(others.map(mixDigest)).size, others.length);
  assert.match(mixDigest([a]), /^sha256:[0-9a-f]{64}$/);
  assert.notEqual(mixDigest([a]), a.digest);
});

test('packed parts mix as the others do', () => {
  const parts = [
    { adapter: lora(1, 4, ['q_proj', 'v_proj']), weight: 0.5 },
    { adapter: lora(2, 2, ['v_proj', 'down_proj']), weight: -1.25 },
  ];
  const packed = parts.map(({ adapter, weight }) => ({ adapter: packAdapter(adapter, base), weight }));
  assert.ok(packed.every(({ adapter }) => adapter.program && adapter.sites.size === 0));
  const [expected, actual] = [changes(composeAdapters(parts)), changes(composeAdapters(packed))];
  let numChanged = 0;
  for (const [path, values] of expected) {
    const found = actual.get(path) ?? assert.fail(path);
    if (values.some((value) => value !== 0)) {
      const { passes, message } = compareToReference(found, values, 1e-6);
      assert.ok(passes, `${path}: ${message}`);
      numChanged++;
    } else {
      assert.ok(
        found.every((value) => value === 0),
        path,
      );
    }
  }
  assert.ok(numChanged > 0);
});

test('a packed bias takes its weight; what is not a sum is refused, packed or not', () => {
  const { path, out, in: inputs } = sites[0];
  const adapterOf = (primitive: RowPrimitive): CompiledAdapter => ({
    sites: new Map([[path, [primitive]]]),
    sizeBytes: 0,
  });
  const vector = (length: number): Tensor => ({
    shape: [length],
    data: Float32Array.from({ length }, (_, i) => i + 1),
  });
  const bias = packAdapter(adapterOf({ kind: 'bias', bias_O: vector(out) }), base);
  const mixed = changes(
    composeAdapters([
      { adapter: bias, weight: 0.5 },
      { adapter: bias, weight: 2 },
    ]),
  );
  assert.deepEqual([...(mixed.get(path) ?? [])].slice(0, 3), [2.5, 5, 7.5]);
  const tensor = { shape: [1, base.config.hiddenSize], data: new Float32Array(base.config.hiddenSize) };
  for (const adapter of [
    packAdapter(adapterOf({ kind: 'scale-input', factor_I: vector(inputs) }), base),
    { ...bias, virtual: { kind: 'embeddings', count: 1, embeddings_ND: tensor } as const },
    { ...bias, tokenRows: { ids: Int32Array.of(1), rows_KD: tensor, isHeadTied: false } },
  ]) {
    assert.throws(() => composeAdapters([{ adapter, weight: 1 }]), { code: 'REQUEST_INVALID', param: 'adapters' });
  }
});
