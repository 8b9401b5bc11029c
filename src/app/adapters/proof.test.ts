import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { randomAdapter } from '../../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../../test/support/tiny-base.ts';
import { probeAdapter } from '../../adapters/index.ts';
import { canComputeIn, type ComputeDtype, type WeightFormat } from '../../numeric/index.ts';
import { readConfig } from '../config.ts';
import { openForProof } from './proof.ts';

const folder = mkdtempSync(join(tmpdir(), 'publish-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'tiny');
writeTinyBase(path);

function openAs(format: WeightFormat, computeDtype: ComputeDtype) {
  return openForProof(readConfig({}), { open: { name: 'tiny', path, format, computeDtype, packedDirectory: folder } });
}

test('an adapter is proved on the base as it is held', () => {
  assert.deepEqual([openAs('f32', 'f32').format, openAs('bf16', 'f32').format], ['f32', 'bf16']);
});

for (const compute of ['int8', 'bf16'] as const) {
  test(`products in ${compute} do not blur a proof`, { skip: !canComputeIn(compute) }, () => {
    const base = openAs(compute, compute);
    assert.deepEqual([base.format, base.computeDtype], [compute, 'f32']);
    const adapter = randomAdapter(tinySites(), { seed: 1, rank: 4, targets: 'all-linear' });
    const { parity } = probeAdapter(base, adapter);
    assert.ok(parity && parity.error < 1e-3, `${parity?.error}`);
  });
}
