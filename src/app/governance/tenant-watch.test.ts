import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoadedNames } from '../adapters/loaded-names.ts';
import type { Platform } from '../platform.ts';
import type { ServedBases } from '../served-bases.ts';
import { shadowOf, TenantWatch } from './tenant-watch.ts';

test('a tenant that has gone is forgotten by every engine, and so is what its shadows have asked', async () => {
  const known = new Map([
    ['acme', { createdAt: 1 }],
    ['globex', { createdAt: 2 }],
  ]);
  const forgotten: string[] = [];
  const engineOf = (base: string, isAlive: boolean) => ({
    engine: { isAlive, forget: async (tenant: string) => void forgotten.push(`${base} ${tenant}`) },
  });
  const bases = { all: [engineOf('a', true), engineOf('b', true), engineOf('dead', false)] };
  const tenants = { find: (name: string) => known.get(name) };
  const watch = new TenantWatch(
    { tenants } as unknown as Pick<Platform, 'tenants'>,
    bases as unknown as ServedBases,
    new LoadedNames(),
  );
  for (const tenant of known.keys()) watch.see(tenant);
  await watch.look();
  assert.deepEqual(forgotten, []);
  known.delete('acme');
  known.set('globex', { createdAt: 3 });
  await watch.look();
  const expected = ['acme', 'globex'].flatMap((tenant) =>
    [tenant, shadowOf(tenant)].flatMap((name) => [`a ${name}`, `b ${name}`]),
  );
  assert.deepEqual(forgotten, expected, 'another of the same name is another');
  await watch.look();
  assert.equal(forgotten.length, expected.length);
});
