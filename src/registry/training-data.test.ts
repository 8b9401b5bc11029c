import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock, type Digest } from '../base/index.ts';
import { Database } from '../storage/index.ts';
import { Registry } from './registry.ts';
import { ROUTING_MIGRATIONS } from './splits.ts';
import { REGISTRY_MIGRATIONS } from './tables.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-data-'));
after(() => rmSync(folder, { recursive: true }));

test('what a version was trained on stays with it, is checked with it, and goes with the last that needs it', async () => {
  const database = Database.open(join(folder, 'espalier.db'), [REGISTRY_MIGRATIONS, ROUTING_MIGRATIONS], systemClock);
  const registry = await Registry.open(database, folder, systemClock);
  const train = join(folder, 'train.jsonl');
  writeFileSync(train, 'lines');
  const publish = async (task: string, content: string) => {
    const at = join(folder, `${task}-${content}`);
    mkdirSync(at);
    writeFileSync(join(at, 'adapter_config.json'), '{}');
    writeFileSync(join(at, 'adapter_model.safetensors'), content);
    const digest: Digest = `sha256:${'1'.repeat(64)}`;
    const info = { base: { name: 'tiny', digest }, method: 'lora', rank: 1, parameters: 1 };
    return (await registry.publish('acme', task, at, { ...info, data: [{ role: 'train', path: train }] })).version;
  };
  const pathOf = async (...asked: Parameters<Registry['data']>): Promise<string | undefined> => {
    await using plain = await registry.data(...asked);
    return plain?.path;
  };
  const [one, two] = [await publish('one', 'a'), await publish('two', 'b')];
  writeFileSync(train, 'changed');
  const path = await pathOf(one, 'train');
  assert.ok(path);
  assert.equal(readFileSync(path, 'utf8'), 'lines');
  assert.equal(await pathOf(two, 'train'), path, 'equal data is kept once');
  assert.equal(await pathOf(one, 'valid'), undefined);
  registry.recordMetrics(one, { 'gate.accuracy': 0.5 });
  assert.deepEqual(registry.resolve('acme', 'acme/one').metrics, { 'gate.accuracy': 0.5 });

  await registry.remove('acme', 'acme/one@1');
  assert.equal(await registry.sweep(), 0);
  assert.deepEqual(await registry.verify(), []);
  chmodSync(path, 0o644);
  writeFileSync(path, 'damaged');
  assert.match((await registry.verify())[0].message, /train data .* is corrupt/);
  await assert.rejects(pathOf(two, 'train'), { code: 'STORAGE_CORRUPT' });
  await registry.remove('acme', 'acme/two@1');
  await assert.rejects(async () => readFileSync(path), { code: 'ENOENT' });
  database.close();
});
