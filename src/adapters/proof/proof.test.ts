import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EspalierError } from '../../base/index.ts';
import { loadBase } from '../../model/index.ts';
import { loadNativeKernels, WEIGHT_FORMATS } from '../../numeric/index.ts';
import { randomAdapter } from '../../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../../test/support/tiny-base.ts';
import { compileAdapter, type Adapter } from '../artefact.ts';
import { methodOf } from '../methods/index.ts';
import type { Method } from '../method.ts';
import { PARITY_TOLERANCES, probeAdapter, proveAdapter } from './proof.ts';

const folder = mkdtempSync(join(tmpdir(), 'proof-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const kernels = loadNativeKernels({ threads: 1 });
const base = loadBase(folder, 'tiny', kernels, 'f32');

const adapter = (): Adapter => randomAdapter(tinySites(), { seed: 4, rank: 3, targets: 'all-linear' });

function tensorsOf({ tensors }: Adapter, end: string): { data: { fill(value: number): unknown } }[] {
  return [...tensors].filter(([name]) => name.endsWith(end)).map(([, tensor]) => tensor);
}

test('an adapter passes on every format of the base, far within the tolerance', () => {
  for (const format of WEIGHT_FORMATS) {
    const proof = probeAdapter(loadBase(folder, 'tiny', kernels, format), adapter());
    assert.equal(proof.numModules, 14);
    assert.ok(proof.parity);
    assert.equal(proof.parity.tolerance, PARITY_TOLERANCES[format]);
    assert.ok(proof.parity.error < proof.parity.tolerance / 2, `${format}: ${proof.parity.error}`);
    assert.ok(proof.parity.change > 0.1, `${format}: ${proof.parity.change}`);
  }
});

test('B = 0 has no effect: refused with the modules’ names, unless it is allowed', () => {
  const untrained = adapter();
  for (const { data } of tensorsOf(untrained, '.lora_B.weight')) data.fill(0);
  assert.throws(
    () => probeAdapter(base, untrained),
    (error) =>
      error instanceof EspalierError &&
      error.code === 'ADAPTER_INVALID' &&
      error.message.includes('14 of 14 modules') &&
      error.problems[0]?.where === 'model.layers.0.self_attn.q_proj' &&
      error.problems.length === 14,
  );
  const proof = probeAdapter(base, untrained, { allowInert: true });
  assert.equal(proof.parity?.change, 0);
});

test('a single module without effect is named', () => {
  const partly = adapter();
  const name = 'base_model.model.model.layers.1.mlp.up_proj.lora_A.weight';
  partly.tensors.get(name)?.data.fill(0);
  assert.throws(
    () => proveAdapter(base, compileAdapter(partly, base)),
    (error) =>
      error instanceof EspalierError &&
      error.message.includes('1 of 14 modules') &&
      error.problems.length === 1 &&
      error.param === 'model.layers.1.mlp.up_proj',
  );
});

test('a rank whose A and B never meet has no effect', () => {
  const apart = adapter();
  for (const { shape, data } of apart.tensors.values()) {
    const isA = shape[0] === 3;
    // A keeps its first row only, B all but its first column.
    for (let i = 0; i < data.length; i++) {
      const r = isA ? Math.floor(i / shape[1]) : i % 3;
      if ((r === 0) !== isA) data[i] = 0;
    }
  }
  assert.throws(() => proveAdapter(base, compileAdapter(apart, base)), { code: 'ADAPTER_INVALID' });
});

test('an adapter of another base is refused with both digests', () => {
  const compiled = compileAdapter(adapter(), base);
  assert.equal(proveAdapter(base, compiled, { baseDigest: base.digest }).baseDigest, base.digest);
  assert.throws(
    () => proveAdapter(base, compiled, { baseDigest: 'sha256:other' }),
    (error) =>
      error instanceof EspalierError && error.message.includes('sha256:other') && error.message.includes(base.digest),
  );
});

test('a method whose batched form is not what it merges to is found out', () => {
  const sound = adapter();
  const method = methodOf(sound.config);
  const compile = method.compile.bind(method);
  // One module in fourteen with a scale that is off by a tenth.
  const broken: Method['compile'] = (...args) => {
    const compiled = compile(...args);
    const sites = new Map(compiled.sites);
    const path = 'model.layers.1.self_attn.v_proj';
    const [primitive] = sites.get(path) ?? [];
    assert.ok(primitive?.kind === 'low-rank-delta');
    sites.set(path, [{ ...primitive, scale: primitive.scale * 1.1 }]);
    return { ...compiled, sites };
  };
  method.compile = broken;
  try {
    assert.throws(
      () => probeAdapter(base, sound),
      (error) => error instanceof EspalierError && error.param === 'parity',
    );
  } finally {
    method.compile = compile;
  }
});
