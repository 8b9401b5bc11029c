/** Tokens that are trained and that the data do not have. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { EspalierError } from '../base/index.ts';
import { parsePeftConfig, type PeftConfig } from '../formats/index.ts';
import { linearSites, openSource } from '../model/index.ts';
import { openChatRenderer } from '../text/index.ts';
import { FULL_CONFIG, type TrainedConfig } from './full-model.ts';
import { loadRunData } from './run-data.ts';
import { runWarnings } from './run-warnings.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeTinyBase(join(folder, 'tiny'));
const renderer = openChatRenderer(join(folder, 'tiny'));
const source = openSource(join(folder, 'tiny'));
const model = source.config;
source.close();

const dataPath = join(folder, 'train.jsonl');
writeFileSync(dataPath, `${JSON.stringify({ prompt: 'ab', completion: 'cd' })}\n`);
const data = loadRunData({ dataPath, validPath: undefined, validShare: 0, objective: 'sft' }, renderer, 512);
const idOf = (text: string): number => {
  const id = renderer.tokenizer.idOf(text);
  assert.ok(id !== undefined, text);
  return id;
};

const tokens = (ids: readonly number[]): PeftConfig =>
  parsePeftConfig({ peft_type: 'TRAINABLE_TOKENS', target_modules: 'embed_tokens', token_indices: ids }, 'c');
const lora = (ids: readonly number[]): PeftConfig =>
  parsePeftConfig({ peft_type: 'LORA', target_modules: ['q_proj'], trainable_token_indices: ids }, 'c');

function warned(adapter: TrainedConfig, tieEmbeddings: boolean, of = data): string[] {
  const config = { ...model, tieEmbeddings };
  return runWarnings(adapter, { sites: linearSites(config), config }, of, renderer.tokenizer).map(
    ({ message }) => message,
  );
}

test('each token that never occurs is named, beside those that do', () => {
  for (const make of [tokens, lora]) {
    assert.deepEqual(warned(make([idOf('ab'), idOf('c')]), false), []);
    const said = warned(make([idOf('z'), idOf('ab'), idOf('y')]), false);
    assert.equal(said.length, 2);
    assert.match(said[0], new RegExp(`trained token ${idOf('z')} \\("z"\\) occurs nowhere`));
    assert.match(said[1], /"y"/);
  }
});

test('data without any of them are an error that names them', () => {
  for (const make of [tokens, lora]) {
    assert.throws(
      () => warned(make([idOf('z'), idOf('y')]), true),
      (error) =>
        error instanceof EspalierError &&
        error.code === 'DATA_INVALID' &&
        error.message.includes(`none of the trained tokens ${idOf('z')} ("z"), ${idOf('y')} ("y")`) &&
        error.problems.length === 2,
    );
  }
});

test('only what has a say in a loss counts, in each sequence of an example', () => {
  const example = {
    tokenIds: Int32Array.of(5, 6, 7, 8, 9, 10),
    lossWeights: Float32Array.of(0, 0, 1, 0, 0, 1),
    ends: [4, 6],
  };
  const own = { ...data, train: { ...data.train, examples: [example] } };
  const missing = (tieEmbeddings: boolean): string[] =>
    warned(tokens([5, 6, 7, 8, 9, 10]), tieEmbeddings, own).map((text) => /token (\d+)/.exec(text)?.[1] ?? '');
  // The last predicted token is read by nothing: a head of its own matrix learns nothing of the embedding's row.
  assert.deepEqual(missing(false), ['7', '8', '10']);
  assert.deepEqual(missing(true), ['8']);
});

test('runs that train no tokens are told nothing, and ids that the base does not have are left to the method', () => {
  assert.deepEqual(warned(FULL_CONFIG, true), []);
  assert.deepEqual(warned(parsePeftConfig({ peft_type: 'LORA', target_modules: ['q_proj'] }, 'c'), true), []);
  assert.deepEqual(warned(tokens([model.vocabSize]), true), []);
});
