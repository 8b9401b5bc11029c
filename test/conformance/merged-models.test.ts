/** Adapters merged into their base: the folder has the logits that PEFT gives the adapter, and needs no adapter. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { nonLinearPart } from '../../src/adapters/combining/site-delta.ts';
import { compileAdapter, readArtefact, spanHooks, targetsOf } from '../../src/adapters/index.ts';
import { mergeIntoBase, readConfig, type AppConfig } from '../../src/app/index.ts';
import type { EspalierError } from '../../src/base/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { loadBase, openSource, writeModelFolder } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { openChatRenderer, writeTokenizerFiles } from '../../src/text/index.ts';
import { smolBase } from '../support/base-model.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { loadPeftBases, loadPeftCases } from '../support/peft-cases.ts';
import { TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinyGguf, tinySites, writeTinyBase } from '../support/tiny-base.ts';
import { floatsOf, GOLDEN } from './goldens.ts';

const folder = new TemporaryFolder();
after(() => folder[Symbol.dispose]());
const config: AppConfig = { ...readConfig(), home: folder.join('home') };
const kernels = loadNativeKernels();

/** The folder of a golden model with a tokenizer, without which it is no base. */
function baseFolder(name: string): string {
  const target = folder.join(name);
  if (existsSync(target)) return target;
  mkdirSync(target);
  for (const file of ['config.json', 'model.safetensors'])
    copyFileSync(join(GOLDEN, 'models', name, file), join(target, file));
  copyFileSync(join(GOLDEN, 'text', 'tiny-tokenizer.json'), join(target, 'tokenizer.json'));
  writeFileSync(join(target, 'tokenizer_config.json'), '{}');
  return target;
}

describe('the methods that change linear layers', () => {
  for (const { name, golden, adapter, compiled, base } of loadPeftCases(loadPeftBases())) {
    const adapterFolder = join(GOLDEN, 'peft', 'methods', name);
    const merge = () =>
      mergeIntoBase(config, {
        reference: adapterFolder,
        base: baseFolder(golden.base),
        dtype: 'f32',
        output: folder.join(`merged-${name}`),
      });
    const addsBias = base.sites.some(
      ({ path, hasBias }) => !hasBias && compiled.sites.get(path)?.some(({ kind }) => kind === 'bias'),
    );
    if (nonLinearPart(compiled) !== undefined || addsBias) {
      test(`${name} is refused, and leaves nothing`, async () => {
        await assert.rejects(merge(), (error: EspalierError) => error.code === 'ADAPTER_INVALID');
        assert.ok(!existsSync(folder.join(`merged-${name}`)));
      });
      continue;
    }
    test(`${name}: PEFT’s logits`, async () => {
      const { output, numMerged } = await merge();
      assert.equal(numMerged, targetsOf(adapter.config, base.sites).length);
      const merged = loadBase(output, 'merged', kernels, 'f32');
      for (const { tokenIds, logits } of golden.sequences) {
        assertClose(forwardLogits(merged, [tokenIds])[0], floatsOf(logits), 'goldenF32', name);
      }
    });
  }
});

test('an adapter of a QLoRA run is merged onto the dequantised base', async () => {
  writeTinyBase(folder.join('tiny'));
  const adapterFolder = folder.join('qlora');
  writeRandomAdapter(adapterFolder, tinySites(), { seed: 3, rank: 2, targets: ['q_proj', 'down_proj'] });
  mkdirSync(join(adapterFolder, 'run'));
  writeFileSync(join(adapterFolder, 'run', 'run.json'), '{"result":{"baseFormat":"nf4"}}');
  const base = folder.join('tiny');
  const merged = await mergeIntoBase(config, {
    reference: adapterFolder,
    base,
    dtype: 'f32',
    output: folder.join('onto-nf4'),
  });
  assert.equal(merged.format, 'nf4');
  const served = loadBase(base, 'tiny', kernels, 'nf4');
  const tokenIds = [5, 9, 200, 77];
  const adapter = compileAdapter(readArtefact(adapterFolder, served), served);
  const hooks = spanHooks([{ begin: 0, end: tokenIds.length, adapter }]);
  const expected = forwardLogits(served, [tokenIds], hooks)[0];
  assertClose(forwardLogits(loadBase(merged.output, 'm', kernels, 'f32'), [tokenIds])[0], expected, 'goldenF32', 'nf4');
  const plain = await mergeIntoBase(config, {
    reference: adapterFolder,
    base,
    dtype: 'bf16',
    format: 'f32',
    output: folder.join('plain'),
  });
  using file = openSafetensors(join(plain.output, 'model.safetensors'));
  assert.ok([...file.tensors.values()].every(({ dtype }) => dtype === 'BF16'));
  // The base's own weights are not NF4's: the two merged models differ.
  const other = forwardLogits(loadBase(plain.output, 'p', kernels, 'f32'), [tokenIds])[0];
  assert.throws(() => assertClose(other, expected, 'goldenF32', 'not nf4'));
});

test('a base from a GGUF file becomes a folder with its config', () => {
  const described = loadBase(tinyGguf, 'tiny', kernels, 'f32');
  const source = openSource(tinyGguf);
  const output = folder.join('from-gguf');
  writeModelFolder(output, {
    origin: tinyGguf,
    config: source.config,
    dtype: 'f32',
    read: (name) => source.read(name),
  });
  source.close();
  const written = loadBase(output, 'written', kernels, 'f32');
  assert.deepEqual(written.config, described.config);
  const tokenIds = [1, 5, 9];
  assert.deepEqual(forwardLogits(written, [tokenIds]), forwardLogits(described, [tokenIds]));
});

test('the tokenizer of the real base’s GGUF file is the same in a folder', async () => {
  const { path } = await smolBase();
  const output = folder.join('tokenizer');
  mkdirSync(output);
  writeTokenizerFiles(path, output);
  const [before, written] = [openChatRenderer(path), openChatRenderer(output)];
  const messages = [{ role: 'user', content: 'Größe: 12 <|im_end|>\n\n  déjà vu, 漢字 ✨' }] as const;
  assert.deepEqual(written.renderPrompt(messages), before.renderPrompt(messages));
  const { bosId, eosIds, padId, vocabSize } = before.tokenizer;
  const own = written.tokenizer;
  assert.deepEqual([own.bosId, own.eosIds, own.padId, own.vocabSize], [bosId, eosIds, padId, vocabSize]);
});
