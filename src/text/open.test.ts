import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { tinyGguf, writeTinyFolder } from '../../test/support/tiny-base.ts';
import { openChatRenderer, openTokenizer } from './open.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-text-'));
  writeTinyFolder(folder);
});
afterEach(() => rmSync(folder, { recursive: true }));

const TEMPLATE = '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}';

function prompt(): string {
  const { tokenizer, renderPrompt } = bound();
  return tokenizer.decode(renderPrompt([{ role: 'user', content: 'hi' }]), { skipSpecial: false });
}

function bound() {
  const renderer = openChatRenderer(folder);
  return { tokenizer: renderer.tokenizer, renderPrompt: renderer.renderPrompt.bind(renderer) };
}

function writeConfig(config: object): void {
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({ bos_token: '<|endoftext|>', eos_token: '<|im_end|>', ...config }),
  );
}

test('a folder has its template in tokenizer_config.json, alone or by name, or in a file of its own', () => {
  writeConfig({ chat_template: TEMPLATE });
  assert.equal(prompt(), '<|endoftext|>hi<|im_end|>');
  const named = [
    { name: 'tool_use', template: 'no' },
    { name: 'default', template: `named ${TEMPLATE}` },
  ];
  writeConfig({ chat_template: named });
  assert.equal(prompt(), 'named <|endoftext|>hi<|im_end|>');
  writeFileSync(join(folder, 'chat_template.jinja'), `file ${TEMPLATE}`);
  assert.equal(prompt(), 'file <|endoftext|>hi<|im_end|>');
});

test('roles of tokens come from all files of the folder', () => {
  writeFileSync(join(folder, 'tokenizer_config.json'), '{}');
  writeFileSync(join(folder, 'special_tokens_map.json'), '{"eos_token": {"content": "<|im_end|>"}}');
  writeFileSync(join(folder, 'generation_config.json'), '{"eos_token_id": [2, 0]}');
  const tokenizer = openTokenizer(folder);
  assert.deepEqual([tokenizer.bosId, tokenizer.eosIds], [null, [2, 0]]);
});

test('a folder without a chat template is an error that names it, but has a tokenizer', () => {
  assert.throws(() => openChatRenderer(folder), {
    code: 'MODEL_INVALID',
    message: new RegExp(`^${folder}: has no chat template`),
  });
  assert.ok(openTokenizer(folder).vocabSize > 1000);
});

test('files that are missing or broken are named', () => {
  writeFileSync(join(folder, 'tokenizer_config.json'), '[]');
  assert.throws(() => openTokenizer(folder), { code: 'TOKENIZER_INVALID', message: /tokenizer_config\.json/ });
  rmSync(join(folder, 'tokenizer_config.json'));
  rmSync(join(folder, 'tokenizer.json'));
  assert.throws(() => openTokenizer(folder), { code: 'FILE_NOT_FOUND', message: /tokenizer\.json/ });
  assert.throws(() => openTokenizer(join(folder, 'none')), { code: 'FILE_NOT_FOUND', message: /none/ });
});

test('a GGUF file without a tokenizer says so', () => {
  assert.throws(() => openChatRenderer(tinyGguf), {
    code: 'TOKENIZER_INVALID',
    message: /tiny-llama\.gguf: has no tokenizer/,
  });
});
