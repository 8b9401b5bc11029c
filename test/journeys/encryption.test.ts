/** A home whose files are encrypted: everything works, nothing of a tenant's can be read in it, and a wrong key is told. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { encryptHome, importAdapter, importModel, openPlatform, serve, type AppConfig } from '../../src/app/index.ts';
import { TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';

const MARK = 'MARK-DATA-55aa';
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

function filesWith(folder: string, mark: string | Buffer): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(mark))
    .map(({ name }) => name);
}

function data(): string {
  const line = (n: number) => ({
    messages: [
      { role: 'user', content: `${MARK} ${n}` },
      { role: 'assistant', content: 'yes' },
    ],
  });
  return Array.from({ length: 20 }, (_, n) => `${JSON.stringify(line(n))}\n`).join('');
}

test('files are unreadable on the disk, and adapters, data and jobs work as before', { timeout: 300_000 }, async () => {
  using folder = new TemporaryFolder();
  const home = folder.join('home');
  const plain: AppConfig = {
    home,
    hfHome: folder.join('none'),
    hfEndpoint: 'http://localhost:1',
    hfToken: undefined,
    threads: 1,
  };
  const withKeys = (...bytes: number[]): AppConfig => ({ ...plain, encryptionKeys: bytes.map(keyOf) });
  writeTinyBase(folder.join('tiny'));
  importModel(home, folder.join('tiny'), 'tiny');
  writeRandomAdapter(folder.join('adapter'), tinySites(), { seed: 1, rank: 4, targets: ['q_proj'] });
  const weights = readFileSync(folder.join('adapter', 'adapter_model.safetensors')).subarray(-256);
  await importAdapter(plain, folder.join('adapter'), 'acme/before', 'tiny');
  let key = '';
  {
    await using platform = await openPlatform(plain);
    platform.tenants.create('acme');
    key = platform.keys.create({ tenant: 'acme', role: 'writer' }).secret;
  }

  /** What a server of this home answers. @param work what is done with it besides */
  const answer = async (config: AppConfig, work?: (client: OpenAI) => Promise<void>): Promise<string | null> => {
    const log = { info() {}, warn() {}, error() {} };
    await using server = await serve(config, { bases: ['tiny'], host: '127.0.0.1', port: 0 }, log);
    const client = new OpenAI({ apiKey: key, baseURL: `${server.url}/v1`, maxRetries: 0 });
    await work?.(client);
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const { choices } = await client.chat.completions.create({
      model: 'acme/before',
      messages,
      temperature: 0,
      max_tokens: 12,
    });
    return choices[0].message.content;
  };
  const before = await answer(plain);
  assert.ok(filesWith(home, weights).length > 0, 'it can be read while it is not encrypted');

  await assert.rejects(openPlatform(withKeys(1)), { code: 'CONFIG_INVALID', message: /espalier home encrypt/ });
  await assert.rejects(encryptHome(plain), { code: 'CONFIG_INVALID' });
  const { sealed } = await encryptHome(withKeys(1));
  assert.ok(sealed >= 3, `${sealed}`);
  assert.deepEqual(filesWith(home, weights), []);
  await assert.rejects(openPlatform(plain), { code: 'CONFIG_INVALID', message: /set ESPALIER_ENCRYPTION_KEY/ });
  await assert.rejects(openPlatform(withKeys(2)), { code: 'CONFIG_INVALID', message: /set the right one/ });

  const now = await answer(withKeys(1), async (client) => {
    const file = await client.files.create({
      file: await toFile(Buffer.from(data()), 'x.jsonl'),
      purpose: 'fine-tune',
    });
    assert.equal(await (await client.files.content(file.id)).text(), data());
    const job = await client.fineTuning.jobs.create({ model: 'tiny', training_file: file.id, suffix: 'tuned' });
    let at = job;
    while (at.finished_at === null) {
      at = await client.fineTuning.jobs.retrieve(job.id);
      assert.deepEqual(filesWith(home, MARK), [], 'also while it is trained on');
      await sleep(50);
    }
    assert.equal(at.status, 'succeeded', JSON.stringify(at.error));
  });
  assert.equal(now, before, 'the same adapter gives the same answer');
  {
    await using platform = await openPlatform(withKeys(1));
    assert.deepEqual(await platform.registry.verify(), []);
    const tuned = await platform.registry.materialise(platform.registry.resolve('acme', 'acme/tuned@1'));
    assert.ok(!tuned.startsWith(home));
    const trained = readFileSync(join(tuned, 'adapter_model.safetensors')).subarray(-256);
    assert.deepEqual(filesWith(home, trained), []);
    assert.ok(!readdirSync(home).includes('jobs'), 'work is done in memory');
  }

  // Another key: both are known until everything is encrypted with the first.
  const renewed = await encryptHome(withKeys(2, 1));
  assert.ok(renewed.sealed > sealed);
  await assert.rejects(openPlatform(withKeys(1)), { code: 'CONFIG_INVALID' });
  assert.equal(await answer(withKeys(2)), before);
  assert.equal((await encryptHome(withKeys(2))).sealed, 0);
  {
    await using platform = await openPlatform(withKeys(2));
    const { rmSync } = await import('node:fs');
    rmSync(platform.work, { recursive: true, force: true });
  }
});
