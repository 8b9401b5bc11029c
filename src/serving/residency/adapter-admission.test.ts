import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatedLoader, TestClock } from '../../../test/support/gated-loader.ts';
import type { AdapterMix } from '../messages.ts';
import { AdapterAdmission, type Admitted } from './adapter-admission.ts';
import { AdapterResidency } from './residency.ts';

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
  assert.notEqual(admitted[0].adapter, adapter);
  endAll();
});
