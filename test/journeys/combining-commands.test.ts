/** Adapters converted, combined and merged from the command line, and published with where they came from. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import type { AdapterVersion, ConvertedAdapter, MergedModel, WrittenAdapter } from '../../src/app/index.ts';
import { run, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';

test('adapters convert and merge: folders, the registry, refusals', { timeout: 300_000 }, async () => {
  using folder = new TemporaryFolder();
  const home = folder.join('home');
  const json = <T>(...args: string[]): Promise<T> => runJson<T>(['adapters', ...args], { home });
  writeTinyBase(folder.join('tiny'));
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  for (const [name, seed] of [
    ['first', 1],
    ['second', 2],
  ] as const) {
    writeRandomAdapter(folder.join(name), tinySites(), { seed, rank: 4, targets: ['q_proj', 'v_proj'] });
  }
  await json('publish', folder.join('first'), 'acme/first', '--base', 'tiny');

  const converted = await json<ConvertedAdapter>(
    'convert',
    'acme/first',
    '--rank',
    '2',
    '--output',
    folder.join('two'),
  );
  assert.equal(converted.rank, 2);
  assert.ok(converted.error > 0.1 && converted.error < 1 && converted.modules.length === 4);

  const both = ['acme/first', folder.join('second'), '--base', 'tiny', '--weights', '0.7,-0.3'];
  const merged = await json<WrittenAdapter>(
    'merge',
    ...both,
    '--type',
    'cat',
    '--output',
    folder.join('both'),
    '--publish',
    'acme/both',
  );
  assert.deepEqual([merged.adapter, merged.rank], ['acme/both@1', 8]);
  const { provenance } = await json<AdapterVersion>('show', 'acme/both');
  const sources = provenance['combinedFrom'] as unknown as { reference: string; weight: number }[];
  assert.deepEqual(
    sources.map(({ reference, weight }) => [reference, weight]),
    [
      ['acme/first@1', 0.7],
      ['second', -0.3],
    ],
  );

  const into = await json<MergedModel>('merge', 'acme/both', '--into-base', '--output', folder.join('model'));
  assert.equal(into.numMerged, 4);
  await runJson(['models', 'import', folder.join('model'), '--name', 'merged'], { home });

  for (const [args, reason] of [
    [['merge', ...both, '--type', 'ties', '--output', folder.join('no')], /--density/],
    [
      ['merge', ...both, '--dtype', 'bf16', '--output', folder.join('no')],
      /--dtype has no meaning without --into-base/,
    ],
    [['merge', ...both, '--into-base', '--output', folder.join('no')], /--weights has no meaning with --into-base/],
    [['merge', folder.join('second'), '--output', folder.join('no')], /name it with --base/],
    [['convert', 'acme/first', '--output', folder.join('no')], /either --rank or --energy/],
    [['convert', 'acme/first', '--rank', '2', '--output', folder.join('two')], /exists already/],
  ] as const) {
    const { code, stderr } = await run(['adapters', ...args], { home });
    assert.equal(code, 2, stderr);
    assert.match(stderr, reason);
  }
  assert.ok(!existsSync(folder.join('no')));
});
