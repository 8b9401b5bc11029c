import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { EspalierError, type Clock } from '../base/index.ts';
import { Database } from '../storage/index.ts';
import { ApiKeys } from './api-keys.ts';
import { LIMIT_NAMES, NO_LIMITS } from './limits.ts';
import { Quotas } from './quotas.ts';
import { TENANCY_MIGRATIONS } from './tables.ts';
import { Tenants } from './tenants.ts';
import { UsageMeter } from './usage.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const JANUARY_31 = Date.UTC(2026, 0, 31, 23, 59, 59, 500);

let now: number;
const clock: Clock = { nowMs: () => now, epochMs: () => now };
let database: Database;
let tenants: Tenants;
let keys: ApiKeys;

beforeEach(() => {
  now = JANUARY_31;
  database = Database.open(':memory:', [TENANCY_MIGRATIONS], clock);
  tenants = new Tenants(database, clock);
  keys = new ApiKeys(database, clock);
});
afterEach(() => database.close());

test('tenants are created once, listed, limited and removed', () => {
  tenants.create('globex', { maxConcurrent: 2 });
  assert.deepEqual(tenants.create('acme'), { name: 'acme', ...NO_LIMITS, createdAt: now });
  assert.deepEqual(
    tenants.list().map(({ name }) => name),
    ['acme', 'globex'],
  );
  assert.throws(() => tenants.create('acme'), { code: 'TENANT_EXISTS' });
  for (const name of ['', 'Acme', 'a/b', '-a', 'a'.repeat(64)]) {
    assert.throws(() => tenants.create(name), { code: 'REQUEST_INVALID', param: 'tenant' }, name);
  }
  assert.throws(() => tenants.create('initech', { maxConcurrent: -1 }), { code: 'REQUEST_INVALID' });
  assert.throws(() => tenants.get('initech'), { code: 'TENANT_NOT_FOUND' }, 'what is refused is not created');
  assert.equal(tenants.setLimits('acme', { maxConcurrent: 5 }).maxConcurrent, 5);
  tenants.remove('acme');
  assert.throws(() => tenants.get('acme'), { code: 'TENANT_NOT_FOUND' });
  assert.throws(() => tenants.remove('acme'), { code: 'TENANT_NOT_FOUND' });
});

test('each limit is set by itself, and taken away by null', () => {
  tenants.create('acme', { weight: 0.5 });
  for (const [n, name] of LIMIT_NAMES.entries()) {
    assert.deepEqual(tenants.setLimits('acme', { [name]: n + 2 }), tenants.limitsOf('acme'));
    assert.equal(tenants.get('acme')[name], n + 2);
  }
  assert.equal(tenants.setLimits('acme', {}).weight, 2, 'nothing is changed by nothing');
  assert.deepEqual(
    LIMIT_NAMES.map((name) => tenants.get('acme')[name]),
    LIMIT_NAMES.map((_, n) => n + 2),
  );
  for (const name of LIMIT_NAMES) assert.equal(tenants.setLimits('acme', { [name]: null })[name], null);
  for (const [name, value] of [
    ['weight', 0],
    ['weight', Infinity],
    ['weight', NaN],
    ['tokensPerMinute', 1.5],
    ['requestsPerMinute', -1],
    ['maxPriority', -1],
    ['maxAdapterBytes', 2 ** 60],
  ] as const) {
    assert.throws(() => tenants.setLimits('acme', { [name]: value }), { code: 'REQUEST_INVALID', param: name });
  }
  assert.throws(() => tenants.setLimits('nobody', { weight: 2 }), { code: 'TENANT_NOT_FOUND' });
  assert.deepEqual(tenants.limitsOf('nobody'), NO_LIMITS);
});

test('a key opens its tenant, and only its hash is kept', () => {
  tenants.create('acme');
  const { secret, key } = keys.create({ tenant: 'acme', role: 'writer', label: 'ci' });
  assert.match(secret, /^esp_[0-9A-Za-z]{48}$/);
  assert.deepEqual(keys.authenticate(secret), { tenant: 'acme', role: 'writer', keyId: key.keyId, project: null });
  const stored = JSON.stringify(database.all('SELECT id, tenant, hex(hash), hint, label, role FROM api_keys'));
  assert.ok(!stored.includes(secret.slice(8)));
  assert.deepEqual(keys.list('acme'), [key]);
  assert.notEqual(keys.create({ tenant: 'acme', role: 'writer' }).secret, secret);
});

test('what is not a living key is refused', () => {
  tenants.create('acme');
  const { secret, key } = keys.create({ tenant: 'acme', role: 'reader' });
  const last = secret.endsWith('a') ? 'b' : 'a';
  for (const presented of [
    '',
    'esp_',
    key.keyId,
    key.hint,
    `${secret} `,
    secret.slice(0, -1) + last,
    'x'.repeat(100_000),
  ]) {
    assert.throws(() => keys.authenticate(presented), { code: 'KEY_INVALID', message: /not known/ });
  }
  keys.revoke(key.keyId);
  assert.throws(() => keys.authenticate(secret), { code: 'KEY_INVALID', message: /revoked/ });
  const revokedAt = keys.list('acme')[0]?.revokedAt;
  now += 1000;
  assert.equal(keys.revoke(key.keyId).revokedAt, revokedAt, 'revoking again changes nothing');
  assert.throws(() => keys.revoke('key_none'), { code: 'KEY_NOT_FOUND' });
});

test('a key ends at its expiry, and with its tenant', () => {
  tenants.create('acme');
  const { secret } = keys.create({ tenant: 'acme', role: 'reader', expiresAt: now + 10 });
  now += 9;
  assert.equal(keys.authenticate(secret).tenant, 'acme');
  now += 1;
  assert.throws(() => keys.authenticate(secret), { code: 'KEY_INVALID', message: /expired/ });
  for (const expiresAt of [now, 8.65e15, NaN, Infinity]) {
    assert.throws(() => keys.create({ tenant: 'acme', role: 'reader', expiresAt }), {
      code: 'REQUEST_INVALID',
      param: 'expires_at',
      message: /must be in the future, and before the year 10000/,
    });
  }
  const { secret: other } = keys.create({ tenant: 'acme', role: 'reader' });
  tenants.remove('acme');
  assert.throws(() => keys.authenticate(other), { code: 'KEY_INVALID', message: /not known/ });
});

test('the operator is an admin without a tenant', () => {
  const { secret } = keys.create({ tenant: null, role: 'admin' });
  const principal = keys.authenticate(secret);
  assert.deepEqual([principal.tenant, principal.role], [null, 'admin']);
  assert.throws(() => keys.create({ tenant: null, role: 'reader' }), { code: 'REQUEST_INVALID', param: 'role' });
  assert.throws(() => keys.create({ tenant: 'nobody', role: 'reader' }), { code: 'TENANT_NOT_FOUND' });
  assert.equal(keys.list(null).length, 1);
  assert.equal(keys.list('nobody').length, 0);
});

test('authentication goes through the index', () => {
  const plan = database.get<{ detail: string }>(
    'EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE hash = ?',
    new Uint8Array(32),
  );
  assert.match(plan?.detail ?? '', /^SEARCH api_keys USING INDEX/);
});

test('a tenant has its own limit of requests in flight, and others do not feel it', () => {
  const quotas = new Quotas((tenant) => (tenant === 'small' ? 1 : null), 2);
  const first = quotas.admit('small');
  assert.throws(() => quotas.admit('small'), {
    code: 'OVERLOADED',
    message: /small has 1 requests in flight, its limit is 1/,
  });
  const others = [quotas.admit('large'), quotas.admit('large')];
  assert.throws(
    () => quotas.admit('large'),
    (error) => error instanceof EspalierError && error.canRetry,
  );
  for (let n = 0; n < 10; n++) others.push(quotas.admit(null));
  first[Symbol.dispose]();
  {
    using again = quotas.admit('small');
    assert.equal(again.value, 'small');
  }
  for (const lease of others) lease[Symbol.dispose]();
  assert.deepEqual([quotas.numInFlight('small'), quotas.numInFlight('large')], [0, 0]);
});

test('usage adds up per tenant, day and adapter, over several flushes', () => {
  for (const name of ['acme', 'globex']) tenants.create(name);
  const meter = new UsageMeter(database, clock);
  meter.add('acme', 'sha256:a', { promptTokens: 10, cachedTokens: 4, completionTokens: 3 });
  meter.flush();
  meter.flush();
  meter.add('acme', 'sha256:a', { promptTokens: 1, cachedTokens: 1, completionTokens: 1 });
  meter.add('acme', null, { promptTokens: 2, cachedTokens: 0, completionTokens: 2 });
  meter.add('globex', null, { promptTokens: 9, cachedTokens: 9, completionTokens: 9 });
  now += 1000;
  meter.add('acme', null, { promptTokens: 5, cachedTokens: 0, completionTokens: 5 });
  meter[Symbol.dispose]();
  const rows = meter.read('acme', '2026-01-01', '2026-12-31').map((row) => ({ ...row }));
  assert.deepEqual(rows, [
    {
      tenant: 'acme',
      project: '',
      day: '2026-01-31',
      adapter: 'base',
      requests: 1,
      promptTokens: 2,
      cachedTokens: 0,
      completionTokens: 2,
      trainingTokens: 0,
    },
    {
      tenant: 'acme',
      project: '',
      day: '2026-01-31',
      adapter: 'sha256:a',
      requests: 2,
      promptTokens: 11,
      cachedTokens: 5,
      completionTokens: 4,
      trainingTokens: 0,
    },
    {
      tenant: 'acme',
      project: '',
      day: '2026-02-01',
      adapter: 'base',
      requests: 1,
      promptTokens: 5,
      cachedTokens: 0,
      completionTokens: 5,
      trainingTokens: 0,
    },
  ]);
  now += DAY_MS;
  assert.equal(meter.read('acme', '2026-02-01', '2026-02-01').length, 1);
});

test('usage that cannot be written is not lost', () => {
  tenants.create('acme');
  const meter = new UsageMeter(database, clock);
  meter.add('acme', null, { promptTokens: 1, cachedTokens: 0, completionTokens: 1 });
  database.execute('ALTER TABLE usage RENAME TO elsewhere');
  assert.throws(() => meter.flush());
  database.execute('ALTER TABLE elsewhere RENAME TO usage');
  meter.flush();
  assert.equal(meter.read('acme', '2026-01-31', '2026-01-31')[0]?.requests, 1);
});
