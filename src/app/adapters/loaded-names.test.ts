import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdapterVersion } from '../../registry/index.ts';
import { isLoadableName, LoadedNames } from './loaded-names.ts';

function versionOf(version: number): AdapterVersion {
  const digest = `sha256:${String(version).repeat(64)}` as const;
  const base = { name: 'tiny', digest } as const;
  const empty = { parameters: 1, classes: null, sizeBytes: 1, createdAt: 1, metrics: {}, provenance: {}, files: [] };
  return { tenant: 'acme', task: 'spam', version, digest, base, method: 'lora', rank: 1, ...empty };
}

test('each tenant has its own names, and the operator too', () => {
  const names = new LoadedNames();
  names.set('acme', 'helper', versionOf(1));
  names.set('globex', 'helper', versionOf(2));
  names.set(null, 'helper', versionOf(3));
  assert.deepEqual(
    ['acme', 'globex', null, 'initech'].map((tenant) => names.find(tenant, 'helper')?.version),
    [1, 2, 3, undefined],
  );
  names.delete('acme', 'helper');
  names.delete('acme', 'helper');
  assert.deepEqual(names.of('acme'), []);
  assert.equal(names.find('globex', 'helper')?.version, 2);
});

test('an adapter is needed as long as any name of the tenant points at it', () => {
  const names = new LoadedNames();
  const { digest } = versionOf(1);
  names.set('acme', 'one', versionOf(1));
  names.set('acme', 'two', versionOf(1));
  names.delete('acme', 'one');
  assert.equal(names.hasDigest('acme', digest), true);
  assert.equal(names.hasDigest('globex', digest), false);
  names.set('acme', 'two', versionOf(2));
  assert.equal(names.hasDigest('acme', digest), false);
});

test('a name can never be taken for a reference of the registry', () => {
  for (const name of ['a', 'Sql-LoRA_2.1', 'x'.repeat(128)]) assert.ok(isLoadableName(name), name);
  for (const name of ['', 'a/b', 'a@1', 'sha256:00', '.', '-a', 'x'.repeat(129), 'é', 'a b']) {
    assert.ok(!isLoadableName(name), name);
  }
});

test('a tenant has so many names and no more, but may move those that it has', () => {
  const names = new LoadedNames();
  for (let n = 0; n < 1_000; n++) {
    names.requireRoom('acme', `name-${n}`);
    names.set('acme', `name-${n}`, versionOf(1));
  }
  assert.throws(() => names.requireRoom('acme', 'one-more'), { code: 'REQUEST_INVALID', param: 'lora_name' });
  names.requireRoom('acme', 'name-5');
  names.requireRoom('globex', 'one-more');
});
