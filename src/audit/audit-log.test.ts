import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Clock } from '../base/index.ts';
import { Database } from '../storage/index.ts';
import { digestOfBody, hashOfEntry } from './chain.ts';
import { AUDIT_MIGRATIONS, AuditLog, verifyChain, type AuditEntry } from './index.ts';

let nowMs = 1_700_000_000_000;
const clock: Clock = { nowMs: () => 0, epochMs: () => (nowMs += 1000) };
let database: Database;
let log: AuditLog;
beforeEach(() => {
  database = Database.open(':memory:', [AUDIT_MIGRATIONS], clock);
  log = new AuditLog(database, clock);
});
afterEach(() => database.close());

const entry = (tenant: string | null, target: string, detail: AuditEntry['detail'] = {}): AuditEntry => ({
  actor: 'key_1',
  tenant,
  action: 'adapter.promote',
  target,
  detail,
});

/** Changes the table as somebody with another program could. */
function tamper(sql: string): void {
  database.execute(`DROP TRIGGER audit_log_is_kept; DROP TRIGGER audit_log_is_unchanged; ${sql}`);
}

function problems(known?: Parameters<typeof verifyChain>[1]): string[] {
  return verifyChain(log, known).problems.map(({ where, message }) => `${where} ${message}`);
}

test('entries are listed, the latest first, by tenant and by page', () => {
  for (const [n, tenant] of ['acme', 'globex', 'acme', null].entries()) log.record(entry(tenant, `t${n}`, { n }));
  const all = log.list({ limit: 3 });
  assert.deepEqual(
    all.items.map(({ seq, tenant, target, detail }) => ({ seq, tenant, target, detail })),
    [
      { seq: 4, tenant: null, target: 't3', detail: { n: 3 } },
      { seq: 3, tenant: 'acme', target: 't2', detail: { n: 2 } },
      { seq: 2, tenant: 'globex', target: 't1', detail: { n: 1 } },
    ],
  );
  assert.equal(all.hasMore, true);
  assert.deepEqual(
    log.list({ limit: 3, after: 2 }).items.map(({ seq }) => seq),
    [1],
  );
  const acme = log.list({ limit: 1, tenant: 'acme' });
  assert.deepEqual([acme.items[0].target, acme.hasMore], ['t2', true]);
  assert.equal(log.list({ limit: 9, tenant: 'nobody' }).items.length, 0);
  const own = log.listOwn('acme', { limit: 1 });
  assert.deepEqual([own.items.map(({ seq, target }) => [seq, target]), own.hasMore], [[[2, 't2']], true]);
  const rest = log.listOwn('acme', { limit: 1, after: 2 });
  assert.deepEqual([rest.items.map(({ seq, target }) => [seq, target]), rest.hasMore], [[[1, 't0']], false]);
  for (const after of [1, 9]) assert.equal(log.listOwn('acme', { limit: 9, after }).items.length, after === 1 ? 0 : 2);
  assert.deepEqual(verifyChain(log).numEntries, 4);
  assert.deepEqual(problems(), []);
});

test('a change and its entry are both there, or neither', () => {
  database.execute('CREATE TABLE things (name TEXT) STRICT');
  const add = (name: string, fails: boolean): unknown =>
    log.during(
      () => database.run('INSERT INTO things VALUES (?)', name),
      () => {
        if (fails) throw new Error('no entry');
        return entry('acme', name);
      },
    );
  add('kept', false);
  assert.throws(() => add('undone', true), /no entry/);
  assert.throws(() =>
    log.during(
      () => database.run('INSERT INTO nowhere VALUES (1)'),
      () => entry('acme', 'never'),
    ),
  );
  assert.deepEqual(database.all('SELECT name FROM things').length, 1);
  assert.deepEqual(
    log.list({ limit: 9 }).items.map(({ target }) => target),
    ['kept'],
  );
});

test('the database itself refuses to change or to drop an entry', () => {
  log.record(entry('acme', 'a'));
  for (const sql of [
    'DELETE FROM audit_log',
    "UPDATE audit_log SET target = 'b'",
    "UPDATE audit_log SET actor = NULL, tenant = NULL, target = NULL, detail = NULL, salt = NULL, hash = 'x'",
    'UPDATE audit_log SET detail = NULL',
    'UPDATE audit_log SET at = at + 1',
  ]) {
    assert.throws(() => database.run(sql), /audit log/, sql);
  }
});

test('whatever is changed around the triggers is found', () => {
  for (const [sql, expected] of [
    ["UPDATE audit_log SET target = 'other' WHERE seq = 2", /^entry 2 says something else/],
    ["UPDATE audit_log SET actor = 'key_2' WHERE seq = 2", /^entry 2 says something else/],
    ['UPDATE audit_log SET at = at + 1 WHERE seq = 2', /^entry 2 has a hash that does not follow/],
    ["UPDATE audit_log SET action = 'key.create' WHERE seq = 1", /^entry 1 has a hash that does not follow/],
    ['UPDATE audit_log SET body_digest = hash WHERE seq = 3', /^entry 3 has a hash/],
    ['DELETE FROM audit_log WHERE seq = 2', /^entry 3 follows entry 1/],
    ['DELETE FROM audit_log WHERE seq = 1', /^entry 2 follows entry 0/],
    ['UPDATE audit_log SET detail = NULL WHERE seq = 2', /^entry 2 is erased in part/],
    [
      'UPDATE audit_log SET actor = NULL, tenant = NULL, target = NULL, detail = NULL, salt = NULL WHERE seq = 2',
      /^entry 2 is empty, and no erasure/,
    ],
  ] as const) {
    using copy = Database.open(':memory:', [AUDIT_MIGRATIONS], clock);
    [database, log] = [copy, new AuditLog(copy, clock)];
    for (const name of ['a', 'b', 'c']) log.record(entry('acme', name));
    tamper(sql);
    const found = problems();
    assert.match(found[0] ?? 'nothing', expected, sql);
  }
});

test('an entry that was rewritten with a right hash of its own breaks the chain behind it', () => {
  for (const name of ['a', 'b', 'c']) log.record(entry('acme', name));
  const [, second] = [...log.rows()];
  const first = log.list({ limit: 1, after: 2 }).items[0];
  const { seq, at, action, salt } = second;
  const bodyDigest = digestOfBody({ actor: 'key_1', tenant: 'acme', target: 'other', detail: '{}', salt: salt ?? '' });
  const hash = hashOfEntry(first.hash, { seq, at, action, bodyDigest });
  tamper(`UPDATE audit_log SET target = 'other', body_digest = '${bodyDigest}', hash = '${hash}' WHERE seq = 2`);
  assert.deepEqual(problems(), [
    'entry 3 has a hash that does not follow from the entry before it: one of them was changed',
  ]);
});

test('a change whose actor is gone is undone', () => {
  database.execute('CREATE TABLE things (name TEXT) STRICT');
  const strict = new AuditLog(database, clock, ({ actor }) => {
    if (actor === 'key_1') throw new Error('it is gone');
  });
  const add = (actor: string): unknown =>
    strict.during(
      () => database.run('INSERT INTO things VALUES (?)', actor),
      () => ({ ...entry('acme', 'x'), actor }),
    );
  assert.throws(() => add('key_1'), /it is gone/);
  add('key_2');
  assert.deepEqual(
    database.all<{ name: string }>('SELECT name FROM things').map(({ name }) => name),
    ['key_2'],
  );
});

test('entries that were cut off at the end are found by whoever knows the end', () => {
  for (const name of ['a', 'b', 'c']) log.record(entry('acme', name));
  const known = verifyChain(log).head ?? undefined;
  log.record(entry('acme', 'd'));
  assert.deepEqual(problems(known), []);
  tamper('DELETE FROM audit_log WHERE seq > 2');
  assert.deepEqual(problems(), [], 'the chain alone cannot tell');
  assert.match(problems(known)[0], /^entry 3 is known, and is not there/);
  log.record(entry('acme', 'another'));
  assert.match(problems(known)[0], /^entry 3 has another hash/);
});

test('what a tenant’s entries say can be erased, and the chain holds', () => {
  for (const [n, tenant] of ['acme', 'globex', 'acme', 'acme', null].entries())
    log.record(entry(tenant, `secret-${n}`));
  log.erase('acme', ({ count, entries }) => ({
    actor: 'key_1',
    tenant: null,
    action: 'tenant.erase',
    target: 'erasure_1',
    detail: { count, entries },
  }));
  const { items } = log.list({ limit: 9 });
  assert.deepEqual(items[0].detail, { count: 3, entries: '1,3-4' });
  const first = items.at(-1);
  assert.deepEqual(
    { ...first, at: 0, hash: '' },
    {
      seq: 1,
      at: 0,
      actor: null,
      tenant: null,
      action: 'adapter.promote',
      target: null,
      detail: null,
      isErased: true,
      hash: '',
    },
  );
  assert.equal(items[4].target, 'secret-1');
  const verdict = verifyChain(log);
  assert.deepEqual([verdict.numEntries, verdict.numErased, verdict.problems], [6, 3, []]);
  log.record(entry('globex', 'later'));
  tamper('UPDATE audit_log SET actor = NULL, tenant = NULL, target = NULL, detail = NULL, salt = NULL WHERE seq = 7');
  assert.match(problems()[0], /^entry 7 is empty, and no erasure/, 'a later entry is not accounted for');
});
