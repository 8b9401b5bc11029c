import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { digestOfFile } from '../formats/index.ts';
import { tinyGguf, writeTinyFolder } from '../../test/support/tiny-base.ts';
import { importModel, listModels, modelsFolder, removeModel, resolveModel, showModel } from './store.ts';

let home = '';
beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'espalier-store-'))));
afterEach(() => rmSync(home, { recursive: true }));

const clock = { nowMs: () => 0, epochMs: () => 86_400_000 };

test('a GGUF file is imported, listed, resolved and removed', () => {
  assert.deepEqual(listModels(home), []);
  const manifest = importModel(home, tinyGguf, 'tiny', clock);
  assert.equal(manifest.digest, digestOfFile(tinyGguf));
  assert.equal(manifest.addedAt, '1970-01-02T00:00:00.000Z');
  assert.deepEqual(listModels(home), [manifest]);
  assert.deepEqual(showModel(home, 'tiny'), manifest);
  const path = join(home, 'models', 'tiny', 'tiny-llama.gguf');
  assert.deepEqual(resolveModel(home, 'tiny'), { name: 'tiny', path, kind: 'gguf', digest: manifest.digest });
  assert.equal(digestOfFile(path), manifest.digest);
  removeModel(home, 'tiny');
  assert.deepEqual(listModels(home), []);
  assert.deepEqual(readdirSync(modelsFolder(home)), []);
});

test('a Hugging Face folder is imported with the files that make up the model and no others', () => {
  const folder = join(home, 'source');
  writeTinyFolder(folder);
  writeFileSync(join(folder, 'pytorch_model.bin'), 'never read');
  const manifest = importModel(home, folder, 'tiny-folder', clock);
  assert.equal(manifest.kind, 'hf-folder');
  assert.deepEqual(readdirSync(join(home, 'models', 'tiny-folder')).sort(), [
    'config.json',
    'manifest.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  assert.equal(
    manifest.sizeBytes,
    manifest.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
  // The same model by its path has the same identity, and another tokenizer another one.
  assert.equal(resolveModel(home, folder).digest, manifest.digest);
  appendFileSync(join(folder, 'tokenizer.json'), ' ');
  assert.notEqual(resolveModel(home, folder).digest, manifest.digest);
});

test('a GGUF file by its path has the identity that it has in the store', () => {
  assert.deepEqual(resolveModel(home, tinyGguf), {
    name: 'tiny-llama.gguf',
    path: tinyGguf,
    kind: 'gguf',
    digest: digestOfFile(tinyGguf),
  });
});

test('a file of the store that is gone or cut off is noticed', () => {
  importModel(home, tinyGguf, 'tiny', clock);
  const path = join(home, 'models', 'tiny', 'tiny-llama.gguf');
  writeFileSync(path, 'short');
  assert.throws(() => resolveModel(home, 'tiny'), {
    code: 'MODEL_INVALID',
    message: /tiny-llama\.gguf has 5 bytes, expected \d+: remove/,
  });
  rmSync(path);
  assert.throws(() => resolveModel(home, 'tiny'), { code: 'MODEL_INVALID', message: /tiny-llama\.gguf is gone/ });
});

test('what is no model is not imported, and nothing is left of it', () => {
  const folder = join(home, 'source');
  writeTinyFolder(folder);
  const cases: [change: (path: string) => void, expected: { code: string; message: RegExp }][] = [
    [(path) => rmSync(join(path, 'config.json')), { code: 'MODEL_INVALID', message: /has no config\.json/ }],
    [(path) => rmSync(join(path, 'tokenizer.json')), { code: 'MODEL_INVALID', message: /has no tokenizer\.json/ }],
    [
      (path) => rmSync(join(path, 'model.safetensors')),
      { code: 'MODEL_INVALID', message: /has neither model\.safetensors nor/ },
    ],
    [
      (path) => writeFileSync(join(path, 'model.safetensors'), 'x'),
      { code: 'FILE_INVALID', message: /model\.safetensors/ },
    ],
    [(path) => writeFileSync(join(path, 'config.json'), '{'), { code: 'FILE_INVALID', message: /config\.json/ }],
  ];
  for (const [index, [change, expected]] of cases.entries()) {
    const broken = join(home, `broken-${index}`);
    mkdirSync(broken);
    for (const file of readdirSync(folder)) copyFileSync(join(folder, file), join(broken, file));
    change(broken);
    assert.throws(() => importModel(home, broken, 'broken', clock), expected);
  }
  writeFileSync(join(home, 'web.gguf'), '<!doctype html>');
  assert.throws(() => importModel(home, join(home, 'web.gguf'), 'broken', clock), {
    code: 'FILE_INVALID',
    message: /web\.gguf/,
  });
  assert.throws(() => importModel(home, join(home, 'none'), 'broken', clock), {
    code: 'FILE_NOT_FOUND',
    message: /none/,
  });
  assert.ok(!existsSync(modelsFolder(home)) || readdirSync(modelsFolder(home)).length === 0);
});

test('names are checked, and a taken one is not overwritten', () => {
  for (const name of ['', '../x', 'Tiny', '.hidden', 'a/b']) {
    assert.throws(() => importModel(home, tinyGguf, name, clock), { code: 'USAGE_INVALID', param: 'name' });
  }
  importModel(home, tinyGguf, 'tiny', clock);
  assert.throws(() => importModel(home, tinyGguf, 'tiny', clock), { code: 'USAGE_INVALID', message: /exists already/ });
});

test('an unknown name says what is there', () => {
  for (const find of [resolveModel, showModel, removeModel]) {
    assert.throws(() => find(home, 'nope'), {
      code: 'MODEL_NOT_FOUND',
      message: /"nope" \(there are no models here yet\)/,
    });
  }
  importModel(home, tinyGguf, 'tiny', clock);
  assert.throws(() => resolveModel(home, 'nope'), { code: 'MODEL_NOT_FOUND', message: /models here: tiny/ });
});

test('a manifest that cannot be read is named', () => {
  importModel(home, tinyGguf, 'tiny', clock);
  const path = join(home, 'models', 'tiny', 'manifest.json');
  for (const text of ['{', '{"formatVersion":2}', 'null']) {
    writeFileSync(path, text);
    assert.throws(() => showModel(home, 'tiny'), { code: 'FILE_INVALID', message: /tiny\/manifest\.json/ });
  }
});
