import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTinyBase } from '../../../test/support/tiny-base.ts';
import { openChatRenderer } from '../../text/index.ts';
import { loadExamples } from '../../training/index.ts';
import { writeDenseExamples } from './dense-examples.ts';

test('dense examples have the tokens that were asked for, never more, and learn from nearly all of them', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-dense-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeTinyBase(join(folder, 'tiny'));
  const renderer = openChatRenderer(join(folder, 'tiny'));
  const data = join(folder, 'data.jsonl');
  for (const tokens of [64, 200]) {
    writeDenseExamples(data, renderer, { count: 5, tokens, seed: 1 });
    const { examples, numTargets } = loadExamples(data, renderer, 512);
    assert.equal(examples.length, 5);
    for (const { tokenIds } of examples) {
      assert.ok(tokenIds.length <= tokens && tokenIds.length >= tokens - 4, `${tokenIds.length} of ${tokens}`);
    }
    assert.ok(numTargets > 5 * (tokens - 40), `${numTargets} targets`);
  }
  assert.equal(new Set(loadExamples(data, renderer, 512).examples.map(({ tokenIds }) => tokenIds.join())).size, 5);
});
