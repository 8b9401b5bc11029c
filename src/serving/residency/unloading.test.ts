/** What unloads, pins and forgets adapters, also while they are loaded or in use. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  beginAnew,
  FILES,
  loader,
  Request,
  residencyOf,
  SIZE,
  sourceOf,
  statesOf,
  warm,
} from '../../../test/support/residency-world.ts';
import { EspalierError } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';

beforeEach(beginAnew);

test('unloading frees every byte and says how many; what is in use goes when its last request ends', async () => {
  const residency = residencyOf();
  await warm(residency, 'a');
  assert.deepEqual(residency.unload('a', 'acme'), { freedBytes: SIZE + FILES, inUseBytes: 0, sharedBytes: 0 });
  assert.deepEqual(residency.unload('a', 'acme'), { freedBytes: 0, inUseBytes: 0, sharedBytes: 0 });
  assert.deepEqual(statesOf(residency), {});
  const [first, second] = [new Request(residency, sourceOf('a')), new Request(residency, sourceOf('a'))];
  await loader.finish('a');
  const { value } = first.lease ?? assert.fail();
  assert.deepEqual(residency.unload('a', 'acme'), { freedBytes: 0, inUseBytes: SIZE + FILES, sharedBytes: 0 });
  assert.deepEqual(statesOf(residency), { a: 'evicting' });
  first.end();
  assert.equal(sizeOfBuffers(value), SIZE);
  second.end();
  assert.equal(sizeOfBuffers(value), 0);
  assert.deepEqual(statesOf(residency), {});
  assert.deepEqual([residency.stats().ready.sizeBytes, residency.stats().host.sizeBytes], [0, 0]);
});

test('a request that comes while an adapter is leaving keeps it', async () => {
  const residency = residencyOf();
  const first = new Request(residency, sourceOf('a'));
  await loader.finish('a');
  residency.unload('a', 'acme');
  const second = new Request(residency, sourceOf('a'));
  first.end();
  second.end();
  assert.deepEqual(statesOf(residency), { a: 'ready' });
});

test('one tenant’s unloading takes nothing from another that has the same adapter', async () => {
  const residency = residencyOf();
  await warm(residency, 'a');
  const other = new Request(residency, sourceOf('a', 'globex'));
  assert.deepEqual(residency.unload('a', 'acme'), { freedBytes: 0, inUseBytes: 0, sharedBytes: SIZE + FILES });
  other.end();
  assert.deepEqual(statesOf(residency, 'globex'), { a: 'ready' });
  assert.deepEqual(statesOf(residency, 'acme'), {}, 'it is not acme’s any more');
  assert.equal(residency.unload('a', 'globex').freedBytes, SIZE + FILES);
});

test('a pin keeps an adapter in memory, up to half of the budget; a tenant sees its own uses only', async () => {
  const residency = residencyOf({ readyBytes: 4 * SIZE });
  const pinned: unknown[] = [];
  const pin = (digest: string, tenant: string): void => {
    const tell = (what: unknown): unknown => pinned.push(what);
    residency.pin(sourceOf(digest, tenant), tell, tell);
  };
  pin('a', 'acme');
  await loader.finish('a');
  pin('a', 'acme');
  pin('a', 'globex');
  pin('b', 'acme');
  await loader.finish('b');
  assert.deepEqual(pinned, [SIZE, SIZE, SIZE, SIZE]);
  pin('c', 'acme');
  await loader.finish('c');
  const refused = pinned.at(-1);
  assert.equal((refused as { code?: string } | undefined)?.code, 'OVERLOADED');
  assert.equal(residency.stats().pinnedBytes, 2 * SIZE);
  await warm(residency, 'd', 'e', 'f', 'g');
  assert.equal(statesOf(residency)['a'], 'in-use');
  const [ofGlobex, ...more] = residency.list('globex', 10);
  assert.deepEqual([ofGlobex.digest, ofGlobex.isPinned, ofGlobex.numLeases, more.length], ['a', true, 0, 0]);
  assert.equal(residency.unload('a', 'acme').sharedBytes, SIZE + FILES);
  assert.equal(residency.stats().pinnedBytes, 2 * SIZE);
  assert.equal(residency.unload('a', 'globex').freedBytes, SIZE + FILES);
  assert.equal(residency.stats().pinnedBytes, SIZE);
});

test('an adapter that is unloaded on its way goes when those who waited for it have ended', async () => {
  const residency = residencyOf();
  const request = new Request(residency, sourceOf('a'));
  assert.equal(residency.unload('a', 'acme').freedBytes, 0);
  await loader.finish('a');
  assert.deepEqual(statesOf(residency), { a: 'evicting' });
  request.end();
  const gone = new Request(residency, sourceOf('b'));
  residency.unload('b', 'acme');
  gone.ticket.cancel();
  await loader.finish('b');
  const lost = new Request(residency, sourceOf('c'));
  residency.unload('c', 'acme');
  await loader.fail('c', new EspalierError('ADAPTER_INVALID', 'broken'));
  assert.ok(lost.error);
  assert.deepEqual(statesOf(residency), { c: 'failed' });
  assert.deepEqual([residency.stats().ready.sizeBytes, residency.stats().host.sizeBytes], [0, 0]);
});

test('one that is wanted again on its way stays, and so does one that another tenant waits for', async () => {
  const residency = residencyOf();
  const first = new Request(residency, sourceOf('a'));
  residency.unload('a', 'acme');
  const second = new Request(residency, sourceOf('a'));
  const other = new Request(residency, sourceOf('b', 'globex'));
  const own = new Request(residency, sourceOf('b'));
  residency.unload('b', 'acme');
  for (const digest of ['a', 'b']) await loader.finish(digest);
  for (const request of [first, second, other, own]) request.end();
  assert.deepEqual(statesOf(residency), { a: 'ready', b: 'ready' });
});

test('one that is unloaded while it waits takes its files with it when nobody waits any more', async () => {
  const residency = residencyOf({ readyBytes: SIZE });
  await warm(residency, 'a', 'b');
  const busy = new Request(residency, sourceOf('b'));
  const waits = new Request(residency, sourceOf('a'));
  residency.unload('a', 'acme');
  waits.ticket.cancel();
  assert.deepEqual(statesOf(residency), { b: 'in-use' });
  const pinned: unknown[] = [];
  residency.pin(
    sourceOf('b'),
    (bytes) => pinned.push(bytes),
    (error) => pinned.push(error.code),
  );
  residency.unload('b', 'acme');
  assert.deepEqual([pinned, statesOf(residency)], [['OVERLOADED'], { b: 'evicting' }]);
  busy.end();
  assert.deepEqual(statesOf(residency), {});
});

test('who waits to pin what is unloaded meanwhile pins nothing', async () => {
  const residency = residencyOf();
  const told: unknown[] = [];
  const pin = (digest: string): void => {
    residency.pin(
      sourceOf(digest),
      (bytes) => told.push(bytes),
      (error) => told.push(error.code),
    );
  };
  pin('a');
  const request = new Request(residency, sourceOf('a'));
  residency.unload('a', 'acme');
  assert.deepEqual(told, ['CANCELLED']);
  await loader.finish('a');
  assert.ok(request.lease, 'whoever asks for an answer gets it');
  request.end();
  pin('b');
  residency.unload('b', 'acme');
  await loader.finish('b');
  assert.deepEqual([told, statesOf(residency), residency.stats().pinnedBytes], [['CANCELLED', 'CANCELLED'], {}, 0]);
});

test('an adapter goes when the last of its tenants has unloaded it, whoever was first', async () => {
  for (const order of [
    ['acme', 'globex'],
    ['globex', 'acme'],
  ] as const) {
    const residency = residencyOf();
    await warm(residency, 'a');
    const running = new Request(residency, sourceOf('a', 'acme'));
    new Request(residency, sourceOf('a', 'globex')).end();
    for (const tenant of order) assert.equal(residency.unload('a', tenant).freedBytes, 0);
    assert.notDeepEqual(statesOf(residency), {});
    running.end();
    assert.deepEqual(statesOf(residency), {}, order.join());
  }
});

test('forgetting a tenant reaches what is being loaded for it', async () => {
  const residency = residencyOf();
  const request = new Request(residency, sourceOf('a'));
  assert.equal(residency.forget('acme').adapters, 1);
  await loader.finish('a');
  request.end();
  assert.deepEqual(statesOf(residency), {});
});
