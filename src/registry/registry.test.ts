import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { Clock, Digest } from '../base/index.ts';
import { Database } from '../storage/index.ts';
import { referenceOf, type AdapterVersion } from './adapter-version.ts';
import { QUERIES } from './catalog.ts';
import type { PublishInfo } from './publish.ts';
import { parseReference } from './reference.ts';
import { Registry } from './registry.ts';
import { ROUTING_MIGRATIONS } from './splits.ts';
import { SEARCHES } from './tags.ts';
import { REGISTRY_MIGRATIONS } from './tables.ts';

const BASE_DIGEST: Digest = `sha256:${'1'.repeat(64)}`;
const INFO: PublishInfo = {
  base: { name: 'tiny', digest: BASE_DIGEST },
  method: 'lora',
  rank: 8,
  parameters: 1234,
  classes: { labels: ['ham', 'spam'], reads: 'text' },
  metrics: { validLoss: 0.5 },
  provenance: { seed: 7, data: ['a.jsonl'] },
};

/** A clock that moves by one at every look. */
function countingClock(): Clock {
  let now = 1_000;
  return { nowMs: () => now, epochMs: () => now++ };
}

let folder: string;
let home: string;
let database: Database;
let registry: Registry;
let numHomes = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-registry-'));
});
beforeEach(async () => {
  home = join(folder, `home-${numHomes++}`);
  const clock = countingClock();
  database = Database.open(join(home, 'espalier.db'), [REGISTRY_MIGRATIONS, ROUTING_MIGRATIONS], clock);
  registry = await Registry.open(database, home, clock);
});
after(() => rm(folder, { recursive: true }));

async function artefact(content: string, extra: Record<string, string> = {}): Promise<string> {
  const at = await mkdtemp(join(folder, 'artefact-'));
  const files = { 'adapter_config.json': '{"peft_type":"LORA"}', 'adapter_model.safetensors': content, ...extra };
  for (const [name, text] of Object.entries(files)) await writeFile(join(at, name), text);
  return at;
}

async function publish(
  tenant: string,
  task: string,
  content: string,
  info: Partial<PublishInfo> = {},
): Promise<AdapterVersion> {
  return (await registry.publish(tenant, task, await artefact(content), { ...INFO, ...info })).version;
}

const unknown = { code: 'ADAPTER_NOT_FOUND' };

test('a published version keeps all that was said about it', async () => {
  const version = await publish('acme', 'spam', 'weights');
  const { files, digest, createdAt, ...rest } = version;
  assert.deepEqual(rest, { tenant: 'acme', task: 'spam', version: 1, ...INFO, sizeBytes: 27 });
  assert.ok(createdAt > 1_000 && createdAt < 1_100, 'by the clock, which moves by one at every look');
  assert.match(digest, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual(
    files.map(({ name, sizeBytes }) => [name, sizeBytes]),
    [
      ['adapter_config.json', 20],
      ['adapter_model.safetensors', 7],
    ],
  );
  assert.deepEqual(registry.resolve('acme', 'acme/spam'), version);
});

test('every form of reference finds its version', async () => {
  const first = await publish('acme', 'spam', 'one');
  const second = await publish('acme', 'spam', 'two');
  registry.promote('acme', 'acme/spam@1', 'stable');
  assert.deepEqual([first.version, second.version], [1, 2]);
  for (const [reference, version] of [
    ['acme/spam', 2],
    ['acme/spam@1', 1],
    ['acme/spam@2', 2],
    ['acme/spam@stable', 1],
    ['acme/spam@latest', 2],
    [first.digest, 1],
    [second.digest, 2],
  ] as const) {
    assert.equal(registry.resolve('acme', reference).version, version, reference);
    assert.equal(registry.resolve(null, reference).version, version, reference);
  }
  assert.deepEqual(registry.aliasesOf(first), ['stable']);
  assert.equal(registry.route('acme', 'spam', 'anybody').version, 2);
});

test('unknown, malformed and foreign references are one and the same error', async () => {
  const version = await publish('acme', 'spam', 'one');
  const nobody: Digest = `sha256:${'0'.repeat(64)}`;
  for (const reference of [
    'acme/spam@2',
    'acme/spam@beta',
    'acme/ham',
    'acme',
    '',
    'acme/spam@',
    'acme/spam@1@1',
    'ACME/spam',
    '../spam',
    'acme/spam@99999999999999999999',
    nobody,
  ]) {
    assert.throws(() => registry.resolve('acme', reference), unknown, reference);
  }
  for (const reference of ['acme/spam', 'acme/spam@1', 'acme/spam@latest', version.digest]) {
    const messageTo = (tenant: string, text: string): string => {
      try {
        registry.resolve(tenant, text);
      } catch (error) {
        assert.ok(error instanceof Error);
        return error.message.replace(text, 'REFERENCE');
      }
      return assert.fail(`${tenant} sees ${text}`);
    };
    assert.equal(messageTo('globex', reference), messageTo('globex', 'globex/none'));
    await assert.rejects(registry.remove('globex', reference), unknown);
    assert.throws(() => registry.promote('globex', reference), unknown);
  }
  assert.throws(() => registry.route('globex', 'spam', 'anybody'), unknown);
  assert.deepEqual(registry.list('globex'), []);
});

test('equal content has one digest and one set of blobs, and is published once', async () => {
  const at = await artefact('same');
  const first = await registry.publish('acme', 'spam', at, INFO);
  await publish('acme', 'spam', 'other');
  const again = await registry.publish('acme', 'spam', at, { ...INFO, metrics: { validLoss: 0.1 } });
  assert.deepEqual(again, { version: first.version, isNew: false });
  assert.equal(registry.resolve('acme', 'acme/spam').version, 2, 'a repeated publish moves no alias');
  const elsewhere = await registry.publish('globex', 'junk', at, {
    ...INFO,
    base: { name: 'renamed', digest: BASE_DIGEST },
  });
  assert.equal(elsewhere.isNew, true);
  assert.equal(elsewhere.version.digest, first.version.digest);
  assert.equal(registry.resolve('globex', first.version.digest).tenant, 'globex');
  assert.equal(registry.resolve('acme', first.version.digest).tenant, 'acme');
  const otherBase = await publish('acme', 'spam', 'same', {
    base: { name: 'tiny', digest: `sha256:${'2'.repeat(64)}` },
  });
  assert.notEqual(otherBase.digest, first.version.digest);
});

test('a folder that is no artefact is refused with all its problems, and leaves nothing', async () => {
  const at = await artefact('weights', { 'adapter_model.bin': 'pickle' });
  await rm(join(at, 'adapter_config.json'));
  await mkdir(join(at, 'checkpoint-1'));
  await assert.rejects(
    registry.publish('acme', 'spam', at, INFO),
    (error: Error & { problems: { where: string }[] }) => {
      assert.deepEqual(error.problems.map(({ where }) => where).sort(), [
        'adapter_config.json',
        'adapter_model.bin',
        'checkpoint-1',
      ]);
      return true;
    },
  );
  await assert.rejects(registry.publish('acme', 'spam', join(folder, 'none'), INFO), { code: 'FILE_NOT_FOUND' });
  const good = await artefact('weights');
  for (const [tenant, task, info, param] of [
    ['Acme', 'spam', INFO, 'tenant'],
    ['acme', 'a/b', INFO, 'task'],
    ['acme', 'spam', { ...INFO, alias: '12' }, 'alias'],
    ['acme', 'spam', { ...INFO, parameters: -1 }, 'parameters'],
    ['acme', 'spam', { ...INFO, metrics: { loss: NaN } }, 'metrics.loss'],
  ] as const) {
    await assert.rejects(registry.publish(tenant, task, good, info), { code: 'REQUEST_INVALID', param });
  }
  assert.deepEqual(registry.list(null), []);
  assert.equal(await registry.sweep(), 0);
});

test('rollback goes back step by step, and the history keeps every move', async () => {
  for (const content of ['one', 'two', 'three']) await publish('acme', 'spam', content);
  assert.equal(registry.rollback('acme', 'spam').version, 2);
  assert.equal(registry.rollback('acme', 'spam').version, 1);
  assert.throws(() => registry.rollback('acme', 'spam'), { code: 'REQUEST_INVALID', message: /no earlier version/ });
  assert.equal(registry.resolve('acme', 'acme/spam').version, 1);
  registry.promote('acme', 'acme/spam@3');
  registry.promote('acme', 'acme/spam@3');
  assert.deepEqual(
    registry.history('acme', 'spam').map(({ version }) => version),
    [1, 2, 3, 2, 1, 3],
  );
  await registry.remove('acme', 'acme/spam@1');
  assert.throws(
    () => registry.rollback('acme', 'spam'),
    { code: 'REQUEST_INVALID' },
    'a removed version is no way back',
  );
  assert.throws(() => registry.promote('acme', 'acme/spam@2', '7'), { code: 'REQUEST_INVALID', param: 'alias' });
});

test('a version that a split names is not removed, and the last version takes the split with it', async () => {
  await publish('acme', 'spam', 'one');
  await publish('acme', 'spam', 'two');
  registry.setSplit('acme', 'spam', [
    { version: '1', weight: 1 },
    { version: 'latest', weight: 1 },
  ]);
  await assert.rejects(registry.remove('acme', 'acme/spam@1'), { code: 'ADAPTER_IN_USE' });
  registry.setSplit('acme', 'spam', [{ version: '1', weight: 1 }]);
  assert.equal(registry.route('acme', 'spam', 'anybody').version, 1);
  registry.promote('acme', 'acme/spam@1');
  await registry.remove('acme', 'acme/spam@2');
  await registry.remove('acme', 'acme/spam@1');
  assert.equal(registry.split('acme', 'spam'), undefined);
  assert.throws(() => registry.route('acme', 'spam', 'anybody'), unknown);
});

test('a version in use is not removed, a number is never used again, shared blobs stay', async () => {
  const first = await publish('acme', 'spam', 'one');
  await publish('acme', 'spam', 'two');
  const twin = await publish('globex', 'spam', 'one');
  await assert.rejects(registry.remove('acme', 'acme/spam@2'), { code: 'ADAPTER_IN_USE', message: /@latest/ });
  const held = await registry.materialise(first);
  await registry.remove('acme', 'acme/spam@1');
  assert.throws(() => registry.resolve('acme', first.digest), unknown);
  assert.deepEqual(await registry.verify(), []);
  assert.equal(registry.resolve('globex', twin.digest).version, 1);
  assert.ok((await stat(held)).isDirectory(), 'the twin still uses the folder');
  await registry.remove('globex', 'globex/spam@1');
  await assert.rejects(stat(held), { code: 'ENOENT' });
  await registry.remove('acme', 'acme/spam@2');
  assert.throws(() => registry.resolve('acme', 'acme/spam'), unknown);
  assert.deepEqual(await readdir(join(home, 'adapters')), []);
  assert.equal(await registry.sweep(), 0, 'removals left no blob behind');
  assert.equal((await publish('acme', 'spam', 'three')).version, 3);
});

test('a version materialises as a folder, once, and never from damaged blobs', async () => {
  const version = await publish('acme', 'spam', 'weights');
  const [at, same] = await Promise.all([registry.materialise(version), registry.materialise(version)]);
  assert.equal(at, same);
  assert.equal(at, join(home, 'adapters', version.digest.slice(7)));
  assert.deepEqual(await readdir(at), ['adapter_config.json', 'adapter_model.safetensors']);
  assert.equal(await readFile(join(at, 'adapter_model.safetensors'), 'utf8'), 'weights');
  const other = await publish('acme', 'spam', 'damaged');
  const blob = other.files[1];
  assert.ok(blob);
  const hex = blob.digest.slice(7);
  const path = join(home, 'blobs', hex.slice(0, 2), hex);
  await chmod(path, 0o644);
  await writeFile(path, 'DAMAGED');
  await assert.rejects(registry.materialise(other), {
    code: 'STORAGE_CORRUPT',
    message: /adapter_model\.safetensors of acme\/spam@2/,
  });
  assert.deepEqual(await readdir(join(home, 'adapters')), [version.digest.slice(7)]);
  assert.deepEqual(await registry.verify(), [
    { where: 'acme/spam@2', message: `adapter_model.safetensors (${blob.digest}) is corrupt` },
  ]);
  await publish('acme', 'spam', 'damaged');
  assert.deepEqual(await registry.verify(), [], 'publishing again heals');
});

test('a version that was removed is not found, also by who still holds it', async () => {
  const version = await publish('acme', 'spam', 'weights');
  await registry.remove('acme', 'acme/spam');
  await assert.rejects(registry.materialise(version), { ...unknown, message: /acme\/spam@1 was removed/ });
});

/** Rows as ten thousand publishes would leave them, without their files. */
function fill(numTasks: number): void {
  database.transaction(() => {
    database.run(
      `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
       INSERT INTO adapter_versions (tenant, task, version, digest, base_name, base_digest, method, rank, parameters, size_bytes, created_at, metrics, provenance)
       SELECT printf('t%02d', i % 100), printf('task-%05d', i), 1, printf('sha256:%064x', i), 'tiny', 'sha256:', 'lora', 8, 1, 1, 0, '{}', '{}' FROM n`,
      numTasks,
    );
    database.run(
      `INSERT INTO alias_changes (id, tenant, task, alias, version, changed_at) SELECT id, tenant, task, 'latest', 1, 0 FROM adapter_versions`,
    );
    database.run(`INSERT INTO aliases SELECT tenant, task, alias, version, id FROM alias_changes`);
  });
}

test('ten thousand adapters: pages are complete and in order', () => {
  fill(10_000);
  assert.equal(registry.resolve('t42', 't42/task-04242').digest, `sha256:${(4242).toString(16).padStart(64, '0')}`);
  const seen: string[] = [];
  for (let after: string | undefined; ;) {
    const page = registry.list(null, after === undefined ? { limit: 300 } : { limit: 300, after });
    const last = page.at(-1);
    if (!last) break;
    seen.push(...page.map(({ tenant, task }) => `${tenant}/${task}`));
    after = `${last.tenant}/${last.task}@${last.version}`;
  }
  assert.equal(seen.length, 10_000);
  assert.deepEqual(seen, [...new Set(seen)].sort());
  assert.equal([...registry.each(null)].length, 10_000, 'also where a page has fewer');
  assert.deepEqual(
    [...registry.each('t07')].map(({ task }) => task),
    seen.filter((name) => name.startsWith('t07/')).map((name) => name.slice(4)),
  );
  const mine = registry.list('t07', { prefix: 'task-00', limit: 5 });
  assert.deepEqual(
    mine.map(({ task }) => task),
    ['task-00007', 'task-00107', 'task-00207', 'task-00307', 'task-00407'],
  );
  assert.deepEqual(
    registry.list('t07', { prefix: 'task-00', after: 't07/task-00407@1' }).map(({ task }) => task),
    ['task-00507', 'task-00607', 'task-00707', 'task-00807', 'task-00907'],
  );
  assert.equal(registry.routes('t07').length, 100);
  assert.equal(registry.routes('t07', 3, 'task-09607')[0]?.task, 'task-09707');
});

test('every look-up goes through an index and sorts nothing', () => {
  fill(10_000);
  database.execute('ANALYZE');
  for (const [name, sql] of Object.entries(QUERIES)) {
    const plan = planOf(sql);
    assert.ok(plan.length > 0);
    for (const step of plan)
      assert.match(
        step,
        /^SEARCH \w+ USING (?:COVERING )?(?:INDEX|INTEGER PRIMARY KEY|PRIMARY KEY)/,
        `${name}: ${step}`,
      );
  }
  // A word is looked for in each version of the index's range; what is found is in order without sorting.
  for (const [name, sql] of Object.entries(SEARCHES)) {
    const plan = planOf(sql);
    assert.match(plan[0], /^SEARCH v USING INDEX sqlite_autoindex_adapter_versions_1 \(.*tenant/, name);
    for (const step of plan) assert.match(step, /^(SEARCH|CORRELATED SCALAR SUBQUERY)/, `${name}: ${step}`);
  }
  assert.match(planOf(SEARCHES.ofTenant)[0], /\(tenant=\?/, 'the tenant bounds it on both sides');
  assert.match(planOf('SELECT * FROM adapter_versions WHERE method = ?').join(), /^SCAN/, 'the check can fail');
  assert.match(
    planOf('SELECT * FROM adapter_versions ORDER BY method').join(),
    /TEMP B-TREE/,
    'so can that of sorting',
  );
});

test('ten thousand adapters: a search goes through all of them page by page, and finds what there is once', () => {
  fill(10_000);
  const tagged = ['t03/task-00003@1', 't50/task-05050@1', 't99/task-09999@1'];
  for (const reference of tagged) registry.tag(null, reference, { add: ['gold'], remove: [] });
  const pages = (tenant: string | null, search: { text?: string; tag?: string; limit: number }): string[] => {
    const found: string[] = [];
    for (let after: string | undefined; ;) {
      const page = registry.search(tenant, { ...search, after }).map(referenceOf);
      assert.ok(page.length <= search.limit);
      const last = page.at(-1);
      if (last === undefined) return found;
      found.push(...page);
      after = last;
    }
  };
  assert.deepEqual(pages(null, { tag: 'gold', limit: 1 }), tagged);
  assert.deepEqual(pages('t50', { tag: 'gold', limit: 10 }), ['t50/task-05050@1']);
  const ends = pages(null, { text: 'task-0999', limit: 3 });
  assert.deepEqual(ends, [...new Set(ends)].sort());
  assert.equal(ends.length, 10);
  assert.equal(pages(null, { text: 'TINY', limit: 999 }).length, 10_000);
  assert.equal(pages('t07', { text: 'task', limit: 7 }).length, 100);
  assert.deepEqual(pages(null, { text: 'nowhere', limit: 10 }), []);
  // A place in another tenant's list shows nothing of it.
  assert.equal(registry.search('t07', { after: 't03/task-00003@1' }).length, 100);
  assert.deepEqual(registry.search('t07', { after: 't08/task-00008@1' }), []);
});

function planOf(sql: string): string[] {
  const numbered = Math.max(0, ...Array.from(sql.matchAll(/\?(\d)/g), ([, n]) => Number(n)));
  const values = Array.from({ length: numbered || sql.split('?').length - 1 }, () => '1');
  return database.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values).map(({ detail }) => detail);
}

test('references are read or refused', () => {
  assert.deepEqual(parseReference('acme/spam'), { kind: 'alias', tenant: 'acme', task: 'spam', alias: null });
  assert.deepEqual(parseReference('acme/spam@v1.2'), { kind: 'alias', tenant: 'acme', task: 'spam', alias: 'v1.2' });
  assert.deepEqual(parseReference('acme/spam@12'), { kind: 'version', tenant: 'acme', task: 'spam', version: 12 });
  assert.equal(parseReference('sha256:abc'), undefined);
  assert.equal(parseReference('acme/spam/ham'), undefined);
});
