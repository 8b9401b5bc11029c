import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../base/index.ts';
import { Database } from '../storage/index.ts';
import { referenceOf } from './adapter-version.ts';
import { Registry } from './registry.ts';
import { ROUTING_MIGRATIONS } from './splits.ts';
import { REGISTRY_MIGRATIONS } from './tables.ts';

let home: string;
let database: Database;
let registry: Registry;

before(async () => {
  home = mkdtempSync(join(tmpdir(), 'espalier-tags-'));
  database = Database.open(join(home, 'espalier.db'), [REGISTRY_MIGRATIONS, ROUTING_MIGRATIONS], systemClock);
  registry = await Registry.open(database, home, systemClock);
  for (const [tenant, task, method] of [
    ['acme', 'spam', 'lora'],
    ['acme', 'spam', 'ia3'],
    ['acme', 'reply', 'lora'],
    ['globex', 'spam', 'lora'],
  ] as const) {
    const folder = mkdtempSync(join(home, 'artefact-'));
    writeFileSync(join(folder, 'adapter_config.json'), `{"of": "${folder}"}`);
    writeFileSync(join(folder, 'adapter_model.safetensors'), 'weights');
    const base = { name: 'Tiny', digest: `sha256:${'1'.repeat(64)}` } as const;
    await registry.publish(tenant, task, folder, { base, method, rank: null, parameters: 1 });
  }
});
after(() => {
  database.close();
  rmSync(home, { recursive: true });
});

const found = (tenant: string | null, search: Parameters<Registry['search']>[1]): string[] =>
  registry.search(tenant, search).map(referenceOf);

test('versions are found by words of their task, method or base, and by tags, within the tenant', () => {
  registry.tag('acme', 'acme/spam@1', { add: ['gold', 'reviewed'], remove: [] });
  registry.tag('globex', 'globex/spam', { add: ['gold'], remove: [] });
  assert.deepEqual(registry.tagsOf(registry.resolve('acme', 'acme/spam@1')), ['gold', 'reviewed']);
  assert.deepEqual(found('acme', { tag: 'gold' }), ['acme/spam@1']);
  assert.deepEqual(found(null, { tag: 'gold' }), ['acme/spam@1', 'globex/spam@1']);
  assert.deepEqual(found('acme', { text: 'SPAM' }), ['acme/spam@1', 'acme/spam@2']);
  assert.deepEqual(found('acme', { text: 'ia3' }), ['acme/spam@2']);
  assert.deepEqual(found('acme', { text: 'tiny', limit: 2 }), ['acme/reply@1', 'acme/spam@1']);
  assert.deepEqual(found('acme', { text: 'tiny', after: 'acme/spam@1' }), ['acme/spam@2']);
  assert.deepEqual(
    found('acme', { text: 'tiny', after: 'acme/seen@9' }),
    ['acme/spam@1', 'acme/spam@2'],
    'it has gone',
  );
  for (const after of ['', 'acme/spam', 'acme/spam@latest', 'spam@1', 'sha256:0']) {
    assert.throws(() => found('acme', { after }), { code: 'REQUEST_INVALID', message: /after must be TENANT/ }, after);
    assert.throws(() => registry.list('acme', { after }), { code: 'REQUEST_INVALID' }, after);
  }
  assert.deepEqual(found('acme', { text: 'spam', tag: 'none' }), []);
  assert.deepEqual(found('acme', { text: '%' }), [], 'it is text, no pattern');
  assert.throws(() => registry.tag('globex', 'acme/spam@1', { add: ['x'], remove: [] }), { code: 'ADAPTER_NOT_FOUND' });
  assert.throws(() => registry.tag('acme', 'acme/spam@1', { add: ['No'], remove: [] }), { code: 'REQUEST_INVALID' });
  const many = Array.from({ length: 31 }, (_, n) => `tag-${n}`);
  assert.throws(() => registry.tag('acme', 'acme/spam@1', { add: many, remove: [] }), { code: 'REQUEST_INVALID' });
  assert.equal(registry.tagsOf(registry.resolve('acme', 'acme/spam@1')).length, 2, 'nothing of it is kept');
  registry.tag('acme', 'acme/spam@1', { add: [], remove: ['gold'] });
  assert.deepEqual(found('acme', { tag: 'gold' }), []);
});

test('the tags of a version go with it', async () => {
  registry.tag('acme', 'acme/reply@1', { add: ['silver'], remove: [] });
  await registry.remove('acme', 'acme/reply@1');
  assert.deepEqual(found(null, { tag: 'silver' }), []);
  assert.equal(database.get<{ n: number }>("SELECT count(*) AS n FROM adapter_tags WHERE tag = 'silver'")?.n, 0);
});
