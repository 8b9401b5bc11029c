/** The states of adapters in memory, with a loader that ends each load when the test says so. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { adapterOf, GatedLoader, TestClock } from '../../../test/support/gated-loader.ts';
import type { CompiledAdapter } from '../../adapters/index.ts';
import { EspalierError, Rng, type Lease } from '../../base/index.ts';
import { sizeOfBuffers } from './buffers.ts';
import { POLICY_NAMES, type PolicyName } from './eviction-policy.ts';
import type { AdapterSource, ResidencyOptions } from '../messages.ts';
import { AdapterResidency } from './residency.ts';
import type { Ticket } from './slot.ts';

/** Bytes of a compiled adapter, and of its files. */
const SIZE = 1_000;
const FILES = 400;

let loader: GatedLoader;
let clock: TestClock;
beforeEach(() => {
  loader = new GatedLoader((digest) => ({ sizeBytes: Number(digest.split(':')[1] ?? SIZE), fileBytes: FILES }));
  clock = new TestClock();
});

function residencyOf(options: Partial<ResidencyOptions> = {}): AdapterResidency {
  return new AdapterResidency(loader, clock, {
    readyBytes: 3 * SIZE,
    hostBytes: 10 * FILES,
    policy: 'lru',
    ...options,
  });
}

function sourceOf(digest: string, tenant: string | null = 'acme'): AdapterSource {
  return { digest, directory: `/adapters/${digest}`, tenant, sizeBytes: SIZE };
}

/** One request for an adapter, and what became of it. */
class Request {
  lease: Lease<CompiledAdapter> | undefined;
  error: EspalierError | undefined;
  readonly ticket: Ticket;

  /** @param isUrgent of a mix, which holds other parts */
  constructor(residency: AdapterResidency, source: AdapterSource, isUrgent = false) {
    this.ticket = residency.acquire(source, {
      isUrgent,
      onReady: (lease) => {
        assert.ok(!this.lease && !this.error, 'told once');
        this.lease = lease;
      },
      onFailed: (error) => {
        assert.ok(!this.lease && !this.error, 'told once');
        this.error = error;
      },
    });
  }

  end(): void {
    this.lease?.[Symbol.dispose]();
    this.lease = undefined;
  }
}

/** Loads adapters and lets them go again. */
async function warm(residency: AdapterResidency, ...digests: string[]): Promise<void> {
  for (const digest of digests) {
    const request = new Request(residency, sourceOf(digest));
    if (request.ticket.isPending) await loader.finish(digest);
    request.end();
  }
}

function statesOf(residency: AdapterResidency, tenant: string | null = null): Record<string, string> {
  return Object.fromEntries(residency.list(tenant, 100).map(({ digest, state }) => [digest, state]));
}

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

test('what is in use cannot go: a cold adapter waits for memory, and gets it when a lease ends', async () => {
  const residency = residencyOf();
  const users = ['a', 'b', 'c'].map((digest) => new Request(residency, sourceOf(digest)));
  for (const digest of ['a', 'b', 'c']) await loader.finish(digest);
  const cold = new Request(residency, sourceOf('d'));
  assert.deepEqual(loader.running, [], 'there is no room');
  assert.equal(statesOf(residency)['d'], 'waiting');
  const again = new Request(residency, sourceOf('b'));
  assert.ok(again.lease, 'who is ready goes on');
  users[1].end();
  assert.deepEqual(loader.running, [], 'b has another user');
  const goes = users[0].lease?.value;
  users[0].end();
  assert.deepEqual(loader.running, ['d']);
  assert.equal(sizeOfBuffers(goes), 0, 'the memory of a has been given back');
  assert.equal(statesOf(residency)['a'], 'host');
  await loader.finish('d');
  assert.ok(cold.lease);
  assert.equal(residency.stats().ready.sizeBytes, 3 * SIZE);
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

test('a wait that is cancelled is told nothing; a load that nobody wants any more is not begun', async () => {
  const residency = residencyOf({ readyBytes: SIZE });
  const user = new Request(residency, sourceOf('a'));
  await loader.finish('a');
  const [gone, stays] = [new Request(residency, sourceOf('b')), new Request(residency, sourceOf('c'))];
  gone.ticket.cancel();
  gone.ticket.cancel();
  assert.equal(statesOf(residency)['b'], undefined);
  user.end();
  assert.deepEqual(loader.running, ['c']);
  stays.ticket.cancel();
  await loader.finish('c');
  assert.deepEqual([gone.lease, stays.lease], [undefined, undefined]);
  assert.equal(statesOf(residency)['c'], 'ready', 'what was begun is kept');
});

test('an adapter that several tenants wait for is loaded at the best of their places, whoever was first', async () => {
  const residency = residencyOf({ readyBytes: 100 * SIZE });
  for (const digest of ['a', 'b', 'c', 'd', 'shared', 'e', 'left']) new Request(residency, sourceOf(digest));
  assert.deepEqual(statesOf(residency, 'globex'), {});
  const [shared, left] = ['shared', 'left'].map((digest) => new Request(residency, sourceOf(digest, 'globex')));
  const again = new Request(residency, sourceOf('left', 'globex'));
  assert.deepEqual(statesOf(residency, 'globex'), { shared: 'waiting', left: 'waiting' });
  assert.deepEqual(loader.running, ['a', 'b']);
  await loader.finish('a');
  await loader.finish('b');
  assert.deepEqual(loader.running, ['c', 'shared']);
  left.ticket.cancel();
  assert.deepEqual(statesOf(residency, 'globex'), { shared: 'loading', left: 'waiting' }, 'it waits for it still');
  again.ticket.cancel();
  for (const digest of ['c', 'shared', 'd']) await loader.finish(digest);
  assert.ok(shared.lease);
  assert.deepEqual(loader.running, ['e', 'left'], 'at the first one’s place');
  assert.deepEqual(residency.stats().numWaiting, 0);
  assert.deepEqual(statesOf(residency, 'globex'), { shared: 'in-use' });
});

test('one tenant’s many cold adapters delay another’s first by one load', async () => {
  const residency = residencyOf({ readyBytes: 100 * SIZE });
  const flood = Array.from({ length: 20 }, (_, n) => new Request(residency, sourceOf(`flood-${n}`, 'acme')));
  const other = new Request(residency, sourceOf('other', 'globex'));
  assert.deepEqual(loader.running, ['flood-0', 'flood-1'], 'two at once');
  await loader.finish('flood-0');
  await loader.finish('flood-1');
  assert.ok(loader.running.includes('other'));
  await loader.finish('other');
  assert.ok(other.lease);
  assert.equal(flood.filter(({ lease }) => lease).length, 2);
});

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

test('a loader that throws what it should not fails the request, and nothing else', async () => {
  const residency = residencyOf();
  const request = new Request(residency, sourceOf('a'));
  await loader.fail('a', new TypeError('boom'));
  assert.match(request.error?.message ?? '', /boom/);
  const other = new Request(residency, sourceOf('b'));
  await loader.finish('b');
  assert.ok(other.lease);
});

for (const policy of POLICY_NAMES) {
  test(`random lives with ${policy}: everybody is told once, books are exact, budgets are kept, leased memory is whole`, async () => {
    const events = { cancelled: 0, broken: 0, waited: 0 };
    for (let seed = 0; seed < 20; seed++) await live(seed, policy, events);
    for (const [what, count] of Object.entries(events)) assert.ok(count > 0, `some were ${what}`);
  });
}

async function live(
  seed: number,
  policy: PolicyName,
  events: { cancelled: number; broken: number; waited: number },
): Promise<void> {
  const rng = Rng.fromSeed(seed, 'life');
  const residency = residencyOf({
    policy,
    readyBytes: (2 + rng.nextBelow(6)) * SIZE,
    hostBytes: rng.nextBelow(6) * FILES,
  });
  const requests: Request[] = [];
  const digestOf = (): string => `d${Math.floor(12 * rng.nextFloat() ** 2)}`;
  const tenantOf = (): string => ['acme', 'globex', 'initech'][rng.nextBelow(3)];
  const check = (): void => {
    const { ready, host } = residency.stats();
    assert.ok(ready.sizeBytes <= ready.budgetBytes && host.sizeBytes <= host.budgetBytes);
    const listed = residency.list(null, 100);
    const sum = (of: 'readyBytes' | 'hostBytes'): number => listed.reduce((total, one) => total + one[of], 0);
    assert.deepEqual([ready.sizeBytes, host.sizeBytes], [sum('readyBytes'), sum('hostBytes')]);
    for (const { lease } of requests) if (lease) assert.equal(sizeOfBuffers(lease.value), SIZE);
  };
  for (let n = 0; n < 300; n++) {
    const action = rng.nextBelow(10);
    if (action < 4) {
      requests.push(new Request(residency, sourceOf(digestOf(), tenantOf())));
    } else if (action < 7) {
      const leased = requests.filter(({ lease }) => lease);
      if (leased.length > 0) leased[rng.nextBelow(leased.length)].end();
    } else if (action < 8) {
      const pending = requests.filter(({ ticket }) => ticket.isPending);
      if (pending.length > 0 && rng.nextBelow(3) === 0) {
        pending[rng.nextBelow(pending.length)].ticket.cancel();
        events.cancelled++;
      } else {
        residency.unload(digestOf(), tenantOf());
      }
    } else if (loader.running.length > 0) {
      const digest = loader.running[rng.nextBelow(loader.running.length)];
      if (rng.nextBelow(8) === 0) {
        events.broken++;
        await loader.fail(digest, new EspalierError('ADAPTER_INVALID', 'broken'));
      } else {
        await loader.finish(digest);
      }
    }
    events.waited += residency.stats().numWaiting;
    check();
  }
  // Everybody ends, and whoever waits gets its turn.
  for (let guard = 0; requests.some(({ ticket, lease }) => ticket.isPending || lease); guard++) {
    assert.ok(guard < 1_000, 'every wait comes to its end');
    for (const request of requests) request.end();
    for (const digest of loader.running) await loader.finish(digest);
    check();
  }
  while (loader.running.length > 0) await loader.finish(loader.running[0]);
  await turn();
  for (const { digest } of residency.list(null, 100)) {
    for (const tenant of ['acme', 'globex', 'initech']) residency.unload(digest, tenant);
  }
  const { ready, host, numLoading, numWaiting } = residency.stats();
  assert.deepEqual([ready.sizeBytes, ready.heldBytes, host.sizeBytes, numLoading, numWaiting], [0, 0, 0, 0, 0]);
  assert.deepEqual(residency.list(null, 100), []);
}

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

test('what does not fit is passed for half of its time, then by nobody, and given up at its end', async () => {
  const residency = residencyOf({ readyBytes: 6 * SIZE, maxWaitMs: 1_000 });
  const sized = (digest: string, tenant: string): AdapterSource => {
    return { ...sourceOf(digest, tenant), sizeBytes: Number(digest.split(':')[1]) };
  };
  const hot = new Request(residency, sized('hot:3000', 'acme'));
  await loader.finish('hot:3000');
  const big = new Request(residency, sized('big:4000', 'globex'));
  const small = new Request(residency, sized('a:100', 'hooli'));
  await loader.finish('a:100');
  assert.ok(small.lease && !big.lease, 'it goes by');
  clock.advance(500);
  const late = new Request(residency, sized('b:100', 'initech'));
  assert.deepEqual(loader.running, [], 'nobody goes by any more');
  clock.advance(499);
  small.end();
  assert.equal(big.error, undefined);
  clock.advance(1);
  hot.lease?.[Symbol.dispose]();
  hot.lease = new Request(residency, sized('hot:3000', 'acme')).lease;
  assert.deepEqual(loader.running, ['big:4000', 'b:100'], 'its room has come in the last moment');
  await loader.finish('big:4000');
  await loader.finish('b:100');
  for (const request of [big, late]) request.end();

  const again = new Request(residency, sized('hot:3000', 'acme'));
  await loader.finish('hot:3000').catch(() => undefined);
  const unlucky = new Request(residency, sized('big:4000', 'globex'));
  clock.advance(1_000);
  new Request(residency, sized('c:100', 'hooli')).ticket.cancel();
  assert.deepEqual([again.error, unlucky.error?.code, unlucky.error?.retryAfterMs], [undefined, 'OVERLOADED', 10_000]);
  const retry = new Request(residency, sized('big:4000', 'globex'));
  assert.ok(retry.ticket.isPending, 'nothing is wrong with it');
});

test('what a mix waits for, which holds other parts, is held up by nobody', async () => {
  for (const isKnown of [false, true]) {
    const residency = residencyOf({ readyBytes: 3 * SIZE, maxWaitMs: 1_000 });
    const ask = (digest: string, tenant: string, isUrgent = false): Request => {
      const source = { ...sourceOf(digest, tenant), sizeBytes: Number(digest.split(':')[1]) };
      return new Request(residency, source, isUrgent);
    };
    const held = ask('x:1000', 'acme', true);
    await loader.finish('x:1000');
    ask('big:3000', 'globex');
    for (const digest of ['p:100', 'q:100']) ask(digest, 'hooli');
    if (isKnown) ask('y:1000', 'initech');
    const waits = ask('y:1000', 'acme', true);
    clock.advance(500);
    await loader.finish('p:100');
    assert.deepEqual(loader.running, ['q:100', 'y:1000']);
    await loader.finish('q:100');
    await loader.finish('y:1000');
    assert.ok(held.lease && waits.lease);
  }
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
