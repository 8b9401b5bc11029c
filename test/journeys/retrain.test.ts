/** Another base: versions are trained anew from what they keep, scored beside the old ones, and staged. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importAdapter, readConfig, retrainAdapters, trainAdapter, TRAIN_DEFAULTS } from '../../src/app/index.ts';
import {
  importModel,
  openPlatform,
  promoteAdapter,
  resolveBase,
  setGate,
  type AppConfig,
  type RetrainOptions,
  type TrainOptions,
} from '../../src/app/index.ts';
import { retrainFolder } from '../../src/app/retrain/work-folders.ts';
import { writeSafetensors } from '../../src/formats/index.ts';
import { run, TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';
import { chatLines } from '../support/tuning-data.ts';

test(
  'a task is moved to another base with its own data and settings, once, and answers by it only when it is no worse',
  { timeout: 600_000 },
  async () => {
    using folder = new TemporaryFolder();
    const config = readConfig({
      ESPALIER_HOME: folder.join('home'),
      HF_HOME: folder.join('none'),
      ESPALIER_THREADS: '1',
    });
    for (const [name, seed] of [
      ['old', 1],
      ['new', 2],
    ] as const) {
      writeTinyBase(folder.join(name), { seed });
      importModel(config.home, folder.join(name), name);
    }
    const [data, valid] = [folder.join('train.jsonl'), folder.join('valid.jsonl')];
    writeFileSync(data, chatLines(24));
    writeFileSync(valid, chatLines(6, 24));
    const recipe = { ...TRAIN_DEFAULTS, samples: 0, base: 'old', data, valid, rank: 4, maxSteps: 4, batchTokens: 128 };
    const trained = await trainAdapter(config, {
      ...recipe,
      seed: 3,
      output: folder.join('out'),
      publish: 'acme/parity',
    });
    assert.equal(trained.adapter, 'acme/parity@1');
    // What was trained elsewhere has no recipe.
    writeRandomAdapter(folder.join('foreign'), tinySites(), { seed: 9, rank: 2, targets: ['q_proj'] });
    await importAdapter(config, folder.join('foreign'), 'acme/foreign', 'old');
    for (const path of [data, valid, folder.join('out')]) rmSync(path, { recursive: true });

    const retrain = (more: Partial<RetrainOptions> = {}) =>
      retrainAdapters(config, {
        fromBase: 'old',
        toBase: 'new',
        targets: undefined,
        isDryRun: false,
        promotesIfBetter: false,
        ...more,
      });
    const latest = async (): Promise<string> => {
      await using platform = await openPlatform(config);
      return `${platform.registry.resolve(null, 'acme/parity').version}`;
    };
    await assert.rejects(retrain({ toBase: 'old' }), { code: 'USAGE_INVALID' });
    await assert.rejects(retrain({ fromBase: 'new' }), { code: 'USAGE_INVALID' });
    assert.deepEqual(
      (await retrain({ isDryRun: true })).map(({ from, to, problem }) => [from, to, problem]),
      [
        ['acme/foreign@1', null, 'its settings are not known: it was not trained here'],
        ['acme/parity@1', null, null],
      ],
    );
    const [, row] = await retrain();
    assert.deepEqual(
      [row.from, row.to, row.metric, row.isPromoted, row.problem],
      ['acme/parity@1', 'acme/parity@2', 'validLoss', false, null],
    );
    assert.ok(trained.validLoss !== null);
    assert.equal(row.before, trained.validLoss);
    assert.ok(row.after !== null && row.after !== row.before);
    assert.equal(row.isBetter, row.after <= trained.validLoss);
    assert.equal(await latest(), '1', 'it is staged');
    {
      await using platform = await openPlatform(config);
      const [first, second] = [1, 2].map((n) => platform.registry.resolve(null, `acme/parity@${n}`));
      assert.deepEqual([second.base.name, second.provenance['retrainedFrom']], ['new', first.digest]);
      assert.deepEqual(second.provenance['config'], first.provenance['config']);
      assert.deepEqual(platform.registry.dataOf(second), platform.registry.dataOf(first));
      assert.equal(platform.registry.dataOf(first).length, 2);
      assert.deepEqual(await platform.registry.verify(), []);
    }
    assert.deepEqual(readdirSync(folder.join('home', 'retrain')), [], 'nothing is left behind');
    assert.deepEqual(await retrain({ targets: ['acme/parity'] }), [row], 'the second time nothing is trained');

    writeFileSync(valid, chatLines(6, 24));
    await setGate(config, 'acme/parity', {
      data: valid,
      metric: 'loss',
      threshold: 0.001,
      tolerance: null,
      maxTokens: 8,
    });
    const refused = await retrain({ targets: ['acme/parity'], promotesIfBetter: true });
    assert.equal(refused[0].metric, 'loss');
    assert.equal(refused[0].isPromoted, false);
    if (refused[0].isBetter) assert.match(refused[0].problem ?? '', /may not be promoted: loss/);
    await assert.rejects(promoteAdapter(config, 'acme/parity@2', { alias: 'latest' }), { code: 'PROMOTION_REFUSED' });
    // Whatever the scores, a gate of a metric on which both are equally bad lets the successor through.
    await setGate(config, 'acme/parity', {
      data: valid,
      metric: 'accuracy',
      threshold: 0,
      tolerance: null,
      maxTokens: 8,
    });
    const { code, stdout } = await run(
      ['adapters', 'retrain', 'acme/parity', '--from-base', 'old', '--to-base', 'new', '--promote-if-better'],
      { home: config.home },
    );
    assert.equal(code, 0, stdout);
    assert.match(stdout, /acme\/parity@1 +acme\/parity@2 +accuracy +0\.0000 +0\.0000 +promoted/);
    assert.equal(await latest(), '2');
  },
);

test('virtual tokens and starts that look at the base are trained anew on a base of another shape', async () => {
  using folder = new TemporaryFolder();
  const env = { ESPALIER_HOME: folder.join('home'), HF_HOME: folder.join('none'), ESPALIER_THREADS: '1' };
  const config = readConfig(env);
  const wide = { hidden_size: 48, num_hidden_layers: 3, num_attention_heads: 6, num_key_value_heads: 3 };
  writeTinyBase(folder.join('old'));
  writeTinyBase(folder.join('wide'), { fields: wide });
  for (const name of ['old', 'wide']) importModel(config.home, folder.join(name), name);
  const data = folder.join('train.jsonl');
  writeFileSync(data, chatLines(24));
  const options = { ...TRAIN_DEFAULTS, samples: 0, base: 'old', data, maxSteps: 2, batchTokens: 128 };
  const cases: Readonly<Record<string, Partial<TrainOptions>>> = {
    'prompt-tuning': { method: 'prompt-tuning', initText: 'is it even?' },
    'p-tuning': { method: 'p-tuning', virtualTokens: 4 },
    'prefix-tuning': { method: 'prefix-tuning', virtualTokens: 4 },
    projected: { method: 'prefix-tuning', virtualTokens: 4, projection: true },
    pissa: { start: 'pissa', rateRatio: 4 },
  };
  for (const [task, more] of Object.entries(cases)) {
    await trainAdapter(config, { ...options, ...more, output: folder.join(task), publish: `acme/${task}` });
  }
  const plan = { fromBase: 'old', toBase: 'wide', targets: undefined, isDryRun: false, promotesIfBetter: false };
  // One that was begun by a program that wrote other checkpoints begins anew.
  const begun = join(await folderOf(config, 'acme/pissa'), 'adapter');
  mkdirSync(begun, { recursive: true });
  writeSafetensors(join(begun, 'checkpoint.safetensors'), new Map());
  const rows = await retrainAdapters(config, plan);
  assert.deepEqual(
    rows.map(({ from, to, problem }) => [from, to, problem]),
    Object.keys(cases)
      .toSorted()
      .map((task) => [`acme/${task}@1`, `acme/${task}@2`, null]),
  );
});

/** Where the retraining of a version on the base `wide` works. */
async function folderOf(config: AppConfig, reference: string): Promise<string> {
  const { digest } = await resolveBase(config, 'wide');
  await using platform = await openPlatform(config);
  return retrainFolder(platform.work, platform.registry.resolve(null, reference).digest, digest);
}
