import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFileAtomicSync } from './atomic-file.ts';

test('a file is written whole or not at all, and nothing else is left', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-atomic-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file');
  assert.equal(writeFileAtomicSync(path, [Buffer.from('one '), new Uint8Array(), Buffer.from('two')]), 7);
  assert.equal(readFileSync(path, 'utf8'), 'one two');
  function* failing(): Generator<Uint8Array> {
    yield Buffer.from('half');
    throw new Error('no more');
  }
  assert.throws(() => writeFileAtomicSync(path, failing()), /no more/);
  assert.equal(readFileSync(path, 'utf8'), 'one two');
  mkdirSync(join(folder, 'taken'));
  assert.throws(() => writeFileAtomicSync(join(folder, 'taken'), [Buffer.from('x')]));
  assert.deepEqual(readdirSync(folder).sort(), ['file', 'taken']);
});
