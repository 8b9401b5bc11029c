/** Who waits for memory, for how long, and who goes by. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  beginAnew,
  clock,
  loader,
  Request,
  residencyOf,
  SIZE,
  sourceOf,
  statesOf,
} from '../../../test/support/residency-world.ts';
import type { AdapterSource } from '../messages.ts';
import { sizeOfBuffers } from './buffers.ts';

beforeEach(beginAnew);

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
