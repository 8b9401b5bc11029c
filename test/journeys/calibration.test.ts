/** A machine that was calibrated, as a user does it: real runs, a file in ESPALIER_HOME, and plans that go by it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Plan } from '../../src/app/index.ts';
import type { MachineFigures } from '../../src/planning/index.ts';
import { run, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';

test('bench train --calibrate measures the machine, and plan goes by what it measured', async () => {
  using folder = new TemporaryFolder();
  const options = { home: folder.join('home'), threads: 1 };
  writeTinyBase(folder.join('tiny'));
  const args = ['plan', '--model', folder.join('tiny', 'config.json'), '--batch', '4', '--seq', '128'];
  const before = await runJson<Plan>(args, options);
  assert.ok(before.assumptions.some((text) => text.includes('measure yours with: espalier bench train --calibrate')));
  const { doubts, ...figures } = await runJson<MachineFigures & { doubts: string[] }>(
    ['bench', 'train', '--calibrate', '--base', folder.join('tiny')],
    options,
  );
  assert.deepEqual([figures.threads, Object.keys(figures.formats)], [1, ['bf16', 'f32', 'int8', 'nf4']]);
  assert.ok(figures.methods['dora'] && figures.processBytes > 50 * 2 ** 20, JSON.stringify(figures));
  const after = await runJson<Plan>(args, options);
  assert.ok(figures.error && figures.error.time >= 0, 'it knows how far it is from what was measured');
  // So small a base takes so little time that noise may be all that is measured: then it is said, and not gone by.
  assert.equal(
    after.assumptions.some((text) => text.includes('doubtful')),
    doubts.length > 0,
    doubts.join(),
  );
  assert.equal(after.time.isMeasured, !doubts.some((doubt) => doubt.includes('bf16')));
  const source = after.time.isMeasured ? 'as this machine was measured to do' : 'two AVX2 cores';
  assert.ok(after.assumptions.some((text) => text.includes(source)));
  if (after.time.isMeasured) assert.notEqual(after.time.seconds, before.time.seconds);
  const program = after.training.parts.find(({ part }) => part === 'program');
  assert.equal(program?.bytes, figures.processBytes);
  const inF32 = await runJson<Plan>(args, { ...options, env: { ESPALIER_COMPUTE: 'f32' } });
  assert.equal(
    inF32.assumptions.some((text) => /measured with products in auto, ESPALIER_COMPUTE is f32 now/.test(text)),
    after.time.isMeasured,
  );
  assert.ok(!after.assumptions.some((text) => text.includes('ESPALIER_COMPUTE')));
  const given = await runJson<Plan>([...args, '--gigaflops', '100'], options);
  assert.equal(given.time.gigaflopsPerSecond, 100);

  writeFileSync(folder.join('home', 'machine.json'), '{"version":0}');
  const broken = await run([...args, '--json'], options);
  assert.equal(broken.code, 1);
  assert.match(broken.stdout, /CONFIG_INVALID.*measure this machine again/);
});
