import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { TemporaryFolder } from '../../test/support/processes.ts';
import { actorOfJob } from './governance/entries.ts';
import { openPlatform } from './platform.ts';

test('nothing is recorded of a key or a job that is not there: it was erased while it was at work', async () => {
  using folder = new TemporaryFolder();
  const home = folder.join('home');
  mkdirSync(home);
  const config = { home, hfHome: home, hfEndpoint: 'http://localhost:1', hfToken: undefined, threads: 1 };
  await using platform = await openPlatform(config);
  const entry = { tenant: null, action: 'file.create', target: 'x' };
  const { key } = platform.keys.create({ tenant: null, role: 'admin' });
  for (const actor of ['cli', 'server', key.keyId]) platform.audit.record({ ...entry, actor });
  assert.throws(() => platform.audit.record({ ...entry, actor: 'key_gone' }), { code: 'KEY_INVALID' });
  assert.throws(() => platform.audit.record({ ...entry, actor: actorOfJob({ id: 'ftjob-gone' }) }), {
    code: 'CANCELLED',
    message: /ftjob-gone/,
  });
  assert.equal(platform.audit.list({ tenant: undefined, limit: 9 }).items.length, 3);
});
