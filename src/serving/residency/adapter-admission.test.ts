import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { GatedLoader, TestClock } from '../../../test/support/gated-loader.ts';
import { EspalierError, Rng, type Lease } from '../../base/index.ts';
import type { AdapterMix } from '../messages.ts';
import { AdapterAdmission, type Admitted } from './adapter-admission.ts';
import { sizeOfBuffers } from './buffers.ts';
import { AdapterResidency } from './residency.ts';
import type { Ticket } from './slot.ts';

const SIZE = 1_000;

test('a mix without room of its own is made once while somebody uses it, and again when nobody did', async () => {
  const loader = new GatedLoader(() => ({ sizeBytes: SIZE, fileBytes: 8 }));
  const residency = new AdapterResidency(loader, new TestClock(), { readyBytes: 2 * SIZE, hostBytes: 0 });
  const admission = new AdapterAdmission(residency);
  const parts = ['a', 'b'].map((digest) => ({
    source: { digest, directory: '/x', tenant: 'acme', sizeBytes: SIZE },
    weight: 1,
  }));
  const mix: AdapterMix = { digest: 'a+b', parts };
  const admitted: Admitted[] = [];
  const ask = (): void => {
    admission.admit(mix, { onReady: (one) => admitted.push(one), onFailed: (error) => assert.fail(error) });
  };
  const endAll = (): void => {
    for (const { leases } of admitted.splice(0)) for (const lease of leases) lease[Symbol.dispose]();
  };
  for (let n = 0; n < 3; n++) ask();
  for (const digest of ['a', 'b']) await loader.finish(digest);
  await turn();
  ask();
  assert.equal(admitted.length, 4);
  const [{ adapter }] = admitted;
  assert.ok(admitted.every((one) => one.adapter === adapter));
  admitted.shift()?.leases.forEach((lease) => lease[Symbol.dispose]());
  ask();
  assert.equal(admitted.at(-1)?.adapter, adapter, 'others use it still');
  endAll();
  assert.equal(residency.stats().ready.heldBytes, 0);
  ask();
  await turn();
  assert.notEqual(admitted[0].adapter, adapter);
  endAll();
});

test('tenants take turns with their mixes, one is made at a time, and what nobody waits for any more is not made', async () => {
  const { admission, sourceOf, loader } = await warm(100 * SIZE, ['a', 'b']);
  const begun: string[] = [];
  const ask = (name: string, tenant: string): Ticket | undefined => {
    const parts = ['a', 'b'].map((digest) => ({ source: sourceOf(digest, tenant), weight: 1 }));
    const on = {
      onReady: ({ leases }: Admitted) => {
        begun.push(name);
        for (const lease of leases) lease[Symbol.dispose]();
      },
      onFailed: (error: Error) => assert.fail(error),
    };
    return admission.admit({ digest: name, parts }, on);
  };
  const tickets = ['1', '2', '3', '4'].map((name) => ask(name, 'acme'));
  ask('other', 'globex');
  tickets[2]?.cancel();
  assert.ok(tickets[1]?.isPending);
  for (let n = 0; n < 4; n++) {
    assert.equal(loader.numMixing, 1);
    await loader.finishMix();
  }
  assert.equal(loader.numMixing, 0);
  assert.deepEqual(begun, ['1', '2', 'other', '4']);
});

test('a mix that two tenants wait for is made at the better of their places', async () => {
  const { admission, residency, sourceOf, loader } = await warm(100 * SIZE, ['a', 'b']);
  const on = { onReady: () => undefined, onFailed: (error: Error) => assert.fail(error) };
  const ask = (name: string, tenant: string): void => {
    const parts = ['a', 'b'].map((digest) => ({ source: sourceOf(digest, tenant), weight: 1 }));
    admission.admit({ digest: name, parts }, on);
  };
  for (const name of ['1', '2', '3', 'shared']) ask(name, 'acme');
  ask('shared', 'globex');
  for (let n = 0; n < 2; n++) await loader.finishMix();
  const states = Object.fromEntries(residency.list(null, 9).map(({ digest, state }) => [digest, state]));
  assert.deepEqual([states['shared'], states['3']], ['loading', 'waiting']);
});

test('what a mix is made of stays until it is made; whoever is erased meanwhile leaves nothing', async () => {
  const { admission, residency, sourceOf, loader } = await warm(100 * SIZE, ['a', 'b']);
  const parts = ['a', 'b'].map((digest) => ({ source: sourceOf(digest, 'acme'), weight: 1 }));
  let admitted: Admitted | undefined;
  const on = { onReady: (one: Admitted) => (admitted = one), onFailed: (error: Error) => assert.fail(error) };
  admission.admit({ digest: 'a+b', parts }, on);
  const states = () => Object.fromEntries(residency.list(null, 9).map(({ digest, state }) => [digest, state]));
  assert.deepEqual(states(), { a: 'in-use', b: 'in-use', 'a+b': 'loading' });
  residency.forget('acme');
  assert.equal(loader.numReclaimed, 0);
  await loader.finishMix();
  assert.deepEqual(states(), { 'a+b': 'evicting' });
  assert.equal(sizeOfBuffers(admitted?.adapter.sites), 2 * SIZE);
  admitted?.leases.forEach((lease) => lease[Symbol.dispose]());
  assert.deepEqual([states(), residency.stats().ready.sizeBytes], [{}, 0]);
  assert.equal(loader.numReclaimed, 3);
});

test('a mix that nobody waits for when it is made, or that cannot be made, leaves its parts alone', async () => {
  const { admission, residency, sourceOf, loader } = await warm(100 * SIZE, ['a', 'b']);
  const parts = ['a', 'b'].map((digest) => ({ source: sourceOf(digest, 'acme'), weight: 1 }));
  const failed: Error[] = [];
  const ask = () =>
    admission.admit(
      { digest: 'a+b', parts },
      { onReady: () => assert.fail('it is not made'), onFailed: (error) => failed.push(error) },
    );
  ask()?.cancel();
  await loader.finishMix();
  ask();
  ask();
  await loader.finishMix(new EspalierError('INTERNAL', 'the thread stopped'));
  assert.deepEqual(
    failed.map(({ message }) => message),
    ['the thread stopped', 'the thread stopped'],
  );
  const { count, sizeBytes, heldBytes } = residency.stats().ready;
  assert.deepEqual({ count, sizeBytes, heldBytes }, { count: 2, sizeBytes: 2 * SIZE, heldBytes: 0 });
  assert.deepEqual([residency.list(null, 9).length, residency.stats().numFailed], [2, 0]);
});

test('nothing takes the room of a mix while it is made', async () => {
  const { admission, residency, sourceOf, loader } = await warm(4 * SIZE, ['a', 'b']);
  const parts = ['a', 'b'].map((digest) => ({ source: sourceOf(digest, 'acme'), weight: 1 }));
  admission.admit({ digest: 'a+b', parts }, { onReady: () => undefined, onFailed: (error) => assert.fail(error) });
  const other = { onReady: () => undefined, onFailed: (error: Error) => assert.fail(error) };
  residency.acquire(sourceOf('c', 'acme'), other);
  assert.deepEqual(loader.running, []);
  await loader.finishMix();
  assert.deepEqual(loader.running, ['c'], 'in the place of a part');
  const { sizeBytes, heldBytes } = residency.stats().ready;
  assert.deepEqual([sizeBytes, heldBytes], [3 * SIZE, 2 * SIZE]);
});

/** Adapters that are ready, and mixes that end when the test says so. */
async function warm(readyBytes: number, digests: readonly string[]) {
  const loader = new GatedLoader(() => ({ sizeBytes: SIZE, fileBytes: 8 }));
  const residency = new AdapterResidency(loader, new TestClock(), { readyBytes, hostBytes: 0 });
  const sourceOf = (digest: string, tenant: string) => ({ digest, directory: '/x', tenant, sizeBytes: SIZE });
  for (const digest of digests) {
    const onReady = (lease: Lease<unknown>): void => lease[Symbol.dispose]();
    residency.acquire(sourceOf(digest, 'acme'), { onReady, onFailed: (error) => assert.fail(error) });
    await loader.finish(digest);
  }
  loader.holdMixes();
  return { loader, residency, admission: new AdapterAdmission(residency), sourceOf };
}

test('random lives of mixes: everybody is told once, what is leased is whole, and in the end nothing is held or reserved', async () => {
  for (let seed = 0; seed < 30; seed++) {
    const rng = Rng.fromSeed(seed, 'mixes');
    const { admission, residency, sourceOf, loader } = await warm((3 + rng.nextBelow(5)) * SIZE, []);
    const pick = <T>(from: readonly T[]): T => from[rng.nextBelow(from.length)];
    const open: { ticket: Ticket | undefined; admitted?: Admitted; isTold: boolean }[] = [];
    const ask = (): void => {
      const tenant = pick(['acme', 'globex', 'initech']);
      const parts = ['a', 'b', 'c', 'd'].filter(() => rng.nextBelow(2) === 0);
      const sources = (parts.length > 0 ? parts : ['a']).map((digest) => sourceOf(digest, tenant));
      const weight = 1 + rng.nextBelow(2);
      const digest = `${sources.map((source) => source.digest).join('+')}*${weight}`;
      const mix = { digest, parts: sources.map((source) => ({ source, weight })) };
      const one: (typeof open)[number] = { ticket: undefined, isTold: false };
      const told = (admitted?: Admitted): void => {
        assert.ok(!one.isTold, 'told once');
        Object.assign(one, { isTold: true, admitted });
      };
      open.push(one);
      const on = { onReady: told, onFailed: () => told() };
      one.ticket = admission.admit(rng.nextBelow(3) === 0 ? sources[0] : mix, on);
    };
    const end = (one: (typeof open)[number]): void => {
      open.splice(open.indexOf(one), 1);
      if (!one.isTold) one.ticket?.cancel();
      one.isTold = true;
      for (const lease of one.admitted?.leases ?? []) lease[Symbol.dispose]();
    };
    const advance = async (): Promise<void> => {
      if (loader.numMixing > 0 && rng.nextBelow(2) === 0) {
        await loader.finishMix(rng.nextBelow(8) === 0 ? new EspalierError('INTERNAL', 'stopped') : undefined);
      } else if (loader.running.length > 0) {
        await loader.finish(pick(loader.running));
      }
    };
    for (let n = 0; n < 300; n++) {
      const what = rng.nextBelow(10);
      if (what < 4) ask();
      else if (what < 7) await advance();
      else if (what < 9 && open.length > 0) end(pick(open));
      else if (what === 9) residency.unload(pick(['a', 'b', 'c', 'a+b*1', 'a*2']), pick(['acme', 'globex']));
      for (const { admitted } of open) {
        if (admitted) assert.ok(sizeOfBuffers(admitted.adapter) >= SIZE, 'its memory is there');
      }
    }
    for (let guard = 0; open.length > 0; guard++) {
      assert.ok(guard < 1000, 'everybody comes to an end');
      for (const one of open.filter(({ isTold }) => isTold)) end(one);
      while (loader.numMixing > 0) await loader.finishMix();
      for (const digest of loader.running) await loader.finish(digest);
    }
    while (loader.running.length > 0) await loader.finish(loader.running[0]);
    while (loader.numMixing > 0) await loader.finishMix();
    const { ready, loose, numLoading, numWaiting } = residency.stats();
    assert.deepEqual([ready.heldBytes, loose, numLoading, numWaiting], [0, { count: 0, sizeBytes: 0 }, 0, 0]);
    assert.ok(ready.sizeBytes <= ready.budgetBytes);
    assert.ok(residency.list(null, 100).every(({ state }) => state === 'ready' || state === 'failed'));
  }
});
