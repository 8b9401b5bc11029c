/** The registry from the command line: tags, search, routes, export in both forms, retention. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { AdapterVersion } from '../../src/app/index.ts';
import { openGguf } from '../../src/formats/index.ts';
import { run, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';

test('versions are tagged, found, routed, exported and collected', { timeout: 300_000 }, async () => {
  using folder = new TemporaryFolder();
  const home = folder.join('home');
  const json = <T>(...args: string[]): Promise<T> => runJson<T>(args, { home });
  writeTinyBase(folder.join('tiny'));
  await json('models', 'import', folder.join('tiny'), '--name', 'tiny');
  for (const seed of [1, 2, 3, 4]) {
    const directory = folder.join(`adapter-${seed}`);
    writeRandomAdapter(directory, tinySites(), { seed, rank: 2, targets: ['q_proj'] });
    await json('adapters', 'publish', directory, 'acme/triage', '--base', 'tiny');
  }
  const versionsOf = async (...args: string[]): Promise<number[]> =>
    (await json<AdapterVersion[]>('adapters', 'list', 'acme', ...args)).map(({ version }) => version);

  await json('adapters', 'tag', 'acme/triage@1', 'gold', 'reviewed');
  assert.deepEqual(await versionsOf('--tag', 'gold'), [1]);
  assert.deepEqual(await versionsOf('--search', 'triage', '--limit', '2'), [1, 2]);
  const shown = await json<{ tags: string[]; aliases: string[] }>('adapters', 'show', 'acme/triage@1');
  assert.deepEqual(shown.tags, ['gold', 'reviewed']);

  const route = await json<{ split: { reference: string }[] }>('routes', 'split', 'acme/triage', 'latest=90', '2=10');
  assert.deepEqual(
    route.split.map(({ reference }) => reference),
    ['acme/triage@4', 'acme/triage@2'],
  );
  assert.equal((await run(['routes', 'split', 'acme/triage', 'latest'], { home })).code, 2);
  assert.match((await run(['routes', 'list', 'acme'], { home })).stdout, /2=10 \(acme\/triage@2\)/);

  const dry = await json<{ removed: string[] }>('adapters', 'gc', '--keep', '1', '--dry-run');
  assert.deepEqual(dry.removed, ['acme/triage@3'], 'the others have a tag, a part of the split, or are the newest');
  assert.deepEqual(await versionsOf(), [1, 2, 3, 4]);
  await json('adapters', 'gc', '--keep', '1');
  assert.deepEqual(await versionsOf(), [1, 2, 4]);
  await json('routes', 'clear', 'acme/triage');
  await json('adapters', 'tag', 'acme/triage@1', 'gold', 'reviewed', '--remove');
  assert.deepEqual((await json<{ removed: string[] }>('adapters', 'gc', 'acme', '--keep', '1')).removed.toSorted(), [
    'acme/triage@1',
    'acme/triage@2',
  ]);
  assert.deepEqual(await json('adapters', 'verify'), { problems: [] });

  await json('adapters', 'export', 'acme/triage', folder.join('out'));
  assert.deepEqual(
    readFileSync(folder.join('out', 'adapter_model.safetensors')),
    readFileSync(folder.join('adapter-4', 'adapter_model.safetensors')),
  );
  await json('adapters', 'export', 'acme/triage', folder.join('out.gguf'), '--format', 'gguf');
  using file = openGguf(folder.join('out.gguf'));
  assert.deepEqual([...file.tensors.keys()].toSorted(), [
    'blk.0.attn_q.weight.lora_a',
    'blk.0.attn_q.weight.lora_b',
    'blk.1.attn_q.weight.lora_a',
    'blk.1.attn_q.weight.lora_b',
  ]);
  await json('adapters', 'export', 'acme/triage', folder.join('mlx'), '--format', 'mlx');
  assert.deepEqual(readdirSync(folder.join('mlx')).toSorted(), ['adapter_config.json', 'adapters.safetensors']);
  const again = await run(['adapters', 'export', 'acme/triage', folder.join('out.gguf'), '--format', 'gguf'], { home });
  assert.match(again.stderr, /exists already/);
});
