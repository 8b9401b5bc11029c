import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sweepUnfinishedFiles, writeFileAtomicSync } from './atomic-file.ts';

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

test('what a killed process had not finished is swept away, and nothing else', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-atomic-'));
  t.after(() => rmSync(folder, { recursive: true }));
  let during: string[] = [];
  function* chunks(): Generator<Uint8Array> {
    during = readdirSync(folder);
    yield Buffer.from('x');
  }
  writeFileAtomicSync(join(folder, 'file.bin'), chunks());
  const [unfinished] = during;
  assert.ok(during.length === 1 && unfinished !== 'file.bin', during.join());
  const kept = ['.file.bin.tmp', '.hidden', 'file.bin', 'notes.0123456789abcdefghijklmn.tmp'];
  for (const name of [unfinished, ...kept]) writeFileSync(join(folder, name), 'half');
  sweepUnfinishedFiles(folder);
  assert.deepEqual(readdirSync(folder).sort(), kept);
  sweepUnfinishedFiles(join(folder, 'never'));
});
