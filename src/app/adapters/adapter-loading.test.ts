import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { AdapterVersion } from '../../registry/index.ts';
import type { Principal } from '../../tenancy/index.ts';
import type { Platform } from '../platform.ts';
import type { ServedBases } from '../served-bases.ts';
import { makeAdapterServices } from './adapter-loading.ts';
import { LoadedNames } from './loaded-names.ts';

const acme = { tenant: 'acme', keyId: 'key_1', role: 'admin' } as unknown as Principal;
const versionOf = (reference: string): AdapterVersion =>
  ({ digest: `sha256:${reference}`, sizeBytes: 10, tenant: 'acme', task: reference, version: 1 }) as AdapterVersion;

/** An engine that answers a turn later, and whose pins are one for each adapter, as the real one's. */
function start() {
  const pins = new Set<string>();
  const engine = {
    async pin({ digest }: { readonly digest: string }) {
      await turn();
      pins.add(digest);
      await turn();
      return { sizeBytes: 10 };
    },
    async unload(digest: string) {
      await turn();
      pins.delete(digest);
      await turn();
      return { freedBytes: 10, inUseBytes: 0, sharedBytes: 0 };
    },
  };
  const names = new LoadedNames();
  const removed = new Set<string>();
  const registry = {
    resolve: (_: string, reference: string) => versionOf(reference),
    find: (_: string | null, reference: string) => {
      const name = reference.slice('acme/'.length, -'@1'.length);
      return removed.has(name) ? undefined : versionOf(name);
    },
    materialise: async () => '/x',
  };
  const platform = { registry, audit: { record: () => undefined } } as unknown as Platform;
  const bases = { all: [], find: () => undefined, ofVersion: () => ({ engine }) } as unknown as ServedBases;
  return { services: makeAdapterServices({ platform, bases, names }), names, pins, removed };
}

test('a name whose adapter another name lets go in the same moment has its adapter pinned', async () => {
  const { services, names, pins } = start();
  const load = (name: string, reference: string, isInPlace = false): Promise<void> =>
    services.load(acme, { name, reference: `acme/${reference}`, isInPlace });
  await load('one', 'a');
  for (let delay = 0; delay < 6; delay++) {
    const unloading = (async () => {
      for (let n = 0; n < delay; n++) await Promise.resolve();
      return services.unload(acme, 'one');
    })();
    await Promise.all([load('two', 'a'), unloading]);
    assert.ok(pins.has('sha256:acme/a'), `unloaded ${delay} turns later`);
    await Promise.all([load('two', 'b', true), load('one', 'a')]);
    assert.deepEqual([...pins].toSorted(), ['sha256:acme/a', 'sha256:acme/b']);
    await services.unload(acme, 'two');
    assert.deepEqual([[...pins], names.of('acme').map(([name]) => name)], [['sha256:acme/a'], ['one']]);
  }
});

test('a name whose version was removed goes, with its pin; other names of the adapter keep it', async () => {
  const { services, names, pins, removed } = start();
  for (const [name, reference] of [
    ['gone', 'acme/a'],
    ['gone too', 'acme/a'],
    ['stays', 'acme/b'],
  ]) {
    names.set('acme', name, versionOf(reference));
    pins.add(versionOf(reference).digest);
  }
  names.set(null, 'operator', versionOf('acme/a'));
  await services.dropRemoved();
  assert.equal(names.of('acme').length, 3);
  removed.add('acme/a');
  await services.list(acme, 10);
  assert.deepEqual([names.of('acme').map(([name]) => name), [...pins]], [['stays'], ['sha256:acme/b']]);
  assert.equal(names.of(null).length, 1, 'not yet');
  await services.dropRemoved();
  assert.deepEqual([names.of(null), names.of('acme').length], [[], 1]);
});
