/** A few kills of what `npm run faults -- --kills=100` does a hundred times. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkMixedLoad, checkStored, describeLoad } from '../support/mixed-load-check.ts';
import { MixedLoad } from '../support/mixed-load.ts';
import { TemporaryFolder } from '../support/processes.ts';

const NUM_KILLS = 6;

test(
  'nothing is lost and nothing done twice, whatever is killed under a mixed load',
  { timeout: 900_000 },
  async (t) => {
    using folder = new TemporaryFolder();
    const load = new MixedLoad(folder, 1);
    try {
      await load.prepare();
      await load.run(NUM_KILLS, 1500);
      t.diagnostic(describeLoad(load));
      await checkMixedLoad(load);
      await checkFails(load);
    } finally {
      await load.close();
    }
  },
);

/** What would be wrong is found: a promise that was not kept, a move that nobody asked for, a damaged file. */
async function checkFails(load: MixedLoad): Promise<void> {
  const { publishes, promotions } = load;
  const told = publishes.find(({ answer }) => answer)?.answer ?? assert.fail('something was published');
  publishes.push({ tenant: told.tenant, seed: 0, answer: { ...told, version: 1_000 } });
  await assert.rejects(checkStored(load), { code: 'ADAPTER_NOT_FOUND' });
  publishes.pop();
  promotions.push({ tenant: told.tenant, version: 1_000, answer: true });
  await assert.rejects(checkStored(load), /is what was asked and acknowledged/);
  promotions.pop();
  const moved = promotions.splice(0);
  await assert.rejects(checkStored(load), /is what was asked and acknowledged/);
  promotions.push(...moved);
  await checkStored(load);
  const hex = told.files[0].digest.slice('sha256:'.length);
  const blob = join(load.home, 'blobs', hex.slice(0, 2), hex);
  chmodSync(blob, 0o644);
  writeFileSync(blob, 'damaged');
  await assert.rejects(checkStored(load), /is corrupt/);
}
