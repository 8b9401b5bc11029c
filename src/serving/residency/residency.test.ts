/** The states of adapters in memory, with a loader that ends each load when the test says so. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { adapterOf } from '../../../test/support/gated-loader.ts';
import {
  beginAnew,
  clock,
  FILES,
  loader,
  Request,
  residencyOf,
  SIZE,
  sourceOf,
  statesOf,
  warm,
} from '../../../test/support/residency-world.ts';
import type { CompiledAdapter } from '../../adapters/index.ts';
import { EspalierError, type Lease } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';

beforeEach(beginAnew);

test('many requests for one adapter cause one load; all are told; the next finds it ready', async () => {
  const residency = residencyOf();
  const requests = Array.from({ length: 5 }, () => new Request(residency, sourceOf('a')));
  assert.deepEqual(loader.running, ['a']);
  assert.deepEqual(statesOf(residency), { a: 'loading' });
  await loader.finish('a');
  for (const { lease } of requests) assert.equal(lease?.value, requests[0].lease?.value);
  assert.deepEqual(statesOf(residency), { a: 'in-use' });
  for (const request of requests) request.end();
  assert.deepEqual(statesOf(residency), { a: 'ready' });
  const next = new Request(residency, sourceOf('a'));
  assert.ok(next.lease, 'at once');
  const { hits, misses, diskLoads } = residency.stats();
  assert.deepEqual({ hits, misses, diskLoads }, { hits: 1, misses: 5, diskLoads: 1 });
});

test('a load that hangs holds up only those who wait for it', async () => {
  const residency = residencyOf();
  await warm(residency, 'b');
  const hanging = new Request(residency, sourceOf('a'));
  const resident = new Request(residency, sourceOf('b'));
  assert.ok(resident.lease);
  const cold = new Request(residency, sourceOf('c'));
  await loader.finish('c');
  assert.ok(cold.lease, 'another load is not behind it');
  assert.ok(hanging.ticket.isPending);
});

test('an adapter that comes back reads no disk while its files are in memory', async () => {
  const residency = residencyOf({ readyBytes: SIZE, hostBytes: 2 * FILES });
  await warm(residency, 'a', 'b', 'a');
  assert.deepEqual(loader.log, ['a disk', 'b disk', 'a host']);
  // A third pushes the files of b out, which were used longest ago.
  await warm(residency, 'c', 'a', 'b');
  assert.deepEqual(loader.log.slice(3), ['c disk', 'a host', 'b disk']);
  const { host } = residency.stats();
  assert.deepEqual([host.count, host.sizeBytes], [2, 2 * FILES]);
});

test('without a host tier every load reads the disk', async () => {
  const residency = residencyOf({ readyBytes: SIZE, hostBytes: 0 });
  await warm(residency, 'a', 'b', 'a');
  assert.deepEqual(loader.log, ['a disk', 'b disk', 'a disk']);
  assert.deepEqual(residency.list(null, 10).length, 1, 'what is nowhere is forgotten');
});

test('a broken adapter fails fast with the reason until its time to retry, which doubles; then it is tried again', async () => {
  const residency = residencyOf();
  const first = new Request(residency, sourceOf('x'));
  const second = new Request(residency, sourceOf('x'));
  await loader.fail('x', new EspalierError('ADAPTER_INVALID', '/adapters/x: a tensor is missing'));
  for (const { error } of [first, second]) {
    assert.equal(error?.code, 'ADAPTER_UNAVAILABLE');
    assert.match(error?.message ?? '', /a tensor is missing/);
    assert.doesNotMatch(error?.message ?? '', /\/adapters/, 'no path of this machine');
  }
  assert.deepEqual(statesOf(residency, 'acme'), { x: 'failed' });
  assert.deepEqual(statesOf(residency, 'globex'), {});
  clock.advance(999);
  assert.ok(new Request(residency, sourceOf('x')).error, 'at once');
  assert.deepEqual(loader.running, []);
  clock.advance(1);
  const third = new Request(residency, sourceOf('x'));
  assert.ok(third.ticket.isPending);
  await loader.fail('x', new EspalierError('ADAPTER_INVALID', 'still'));
  clock.advance(1_999);
  assert.match(new Request(residency, sourceOf('x')).error?.message ?? '', /still/);
  clock.advance(1);
  const fourth = new Request(residency, sourceOf('x'));
  await loader.finish('x');
  assert.ok(fourth.lease);
  assert.deepEqual(statesOf(residency), { x: 'in-use' });
  assert.equal(residency.stats().failedLoads, 2);
});

test('an adapter larger than the budget fails, known before or found out; nobody waits behind it', async () => {
  const residency = residencyOf();
  const known = new Request(residency, { ...sourceOf('huge'), sizeBytes: 3 * SIZE + 1 });
  assert.match(known.error?.message ?? '', /takes 3001 bytes .* has 3000/);
  assert.deepEqual(loader.log, []);
  const unknown = new Request(residency, sourceOf('big:3004'));
  await loader.finish('big:3004');
  assert.equal(unknown.error?.code, 'ADAPTER_UNAVAILABLE');
  assert.equal(residency.stats().ready.sizeBytes, 0);
});

test('an estimate that was too low is made good: idle ones go, and the next load waits', async () => {
  const residency = residencyOf();
  await warm(residency, 'a');
  const first = new Request(residency, { ...sourceOf('big:2500'), sizeBytes: 10 });
  await loader.finish('big:2500');
  assert.ok(first.lease);
  assert.equal(statesOf(residency)['a'], 'host');
  const next = new Request(residency, sourceOf('b'));
  assert.deepEqual(loader.running, []);
  first.end();
  await loader.finish('b');
  assert.ok(next.lease);
});

test('a loader that throws what it should not fails the request, and nothing else', async () => {
  const residency = residencyOf();
  const request = new Request(residency, sourceOf('a'));
  await loader.fail('a', new TypeError('boom'));
  assert.match(request.error?.message ?? '', /boom/);
  const other = new Request(residency, sourceOf('b'));
  await loader.finish('b');
  assert.ok(other.lease);
});

test('adapters of the test have the bytes that they say', () => {
  assert.equal(sizeOfBuffers(adapterOf(SIZE)), SIZE);
});

test('what was made from others stays whole when they go, and is loose where nothing idle makes room for it', async () => {
  const residency = residencyOf();
  await warm(residency, 'a');
  const mixOf = async (digest: string, part: string): Promise<Lease<CompiledAdapter>> => {
    const { lease } = new Request(residency, sourceOf(part));
    const made = Promise.withResolvers<Lease<CompiledAdapter>>();
    const parts = [{ lease: lease ?? assert.fail('it is ready'), weight: 1 }];
    residency.mix({ digest, tenant: 'acme' }, parts, { onReady: made.resolve, onFailed: made.reject });
    return await made.promise;
  };
  const made = await mixOf('made', 'a');
  assert.equal(residency.stats().ready.sizeBytes, 2 * SIZE, 'it is counted');
  await warm(residency, 'b', 'c');
  assert.deepEqual(statesOf(residency), { made: 'in-use', b: 'ready', c: 'ready', a: 'host' });
  assert.equal(sizeOfBuffers(made.value), SIZE, 'its memory is its own');
  const held = ['b', 'c'].map((digest) => new Request(residency, sourceOf(digest)));
  const loose = await mixOf('loose', 'b');
  assert.equal(residency.stats().ready.sizeBytes, 3 * SIZE);
  assert.deepEqual(residency.stats().loose, { count: 1, sizeBytes: SIZE });
  assert.equal(residency.list('acme', 9).find(({ digest }) => digest === 'loose')?.readyBytes, SIZE);
  assert.deepEqual(residency.unload('loose', 'acme'), { freedBytes: 0, inUseBytes: SIZE, sharedBytes: 0 });
  residency.acquireReady('loose', 'acme')?.[Symbol.dispose]();
  assert.equal(sizeOfBuffers(loose.value), SIZE, 'it is in use');
  loose[Symbol.dispose]();
  assert.equal(residency.acquireReady('loose', 'acme'), undefined);
  assert.deepEqual(residency.stats().loose, { count: 0, sizeBytes: 0 });
  for (const request of held) request.end();
  made[Symbol.dispose]();
  assert.deepEqual(residency.unload('made', 'acme'), { freedBytes: SIZE, inUseBytes: 0, sharedBytes: 0 });
});
