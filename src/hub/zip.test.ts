import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zipArchive } from '../../test/support/zip-archive.ts';
import { extractZipEntry, readZipEntries } from './zip.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-zip-'));
after(() => rmSync(folder, { recursive: true }));

const text = Buffer.from('some text, some text, some text '.repeat(5000));
const archive = zipArchive([
  { name: 'a/stored.bin', bytes: text, isDeflated: false },
  { name: 'a/deflated.bin', bytes: text, isDeflated: true },
  { name: 'a/empty', bytes: Buffer.alloc(0), isDeflated: false },
]);

function write(bytes: Uint8Array): string {
  const path = join(folder, 'archive.zip');
  writeFileSync(path, bytes);
  return path;
}

test('entries are listed and come out as they went in', async () => {
  const path = write(archive);
  const entries = await readZipEntries(path);
  assert.deepEqual(
    entries.map(({ name, sizeBytes }) => [name, sizeBytes]),
    [
      ['a/stored.bin', text.length],
      ['a/deflated.bin', text.length],
      ['a/empty', 0],
    ],
  );
  for (const entry of entries) {
    await extractZipEntry(path, entry, join(folder, 'out'));
    assert.ok(readFileSync(join(folder, 'out')).equals(entry.sizeBytes === 0 ? Buffer.alloc(0) : text), entry.name);
  }
});

test('what is no archive, is cut off, or lies about itself is refused', async () => {
  await assert.rejects(readZipEntries(write(Buffer.from('no zip'))), { code: 'FILE_INVALID' });
  await assert.rejects(readZipEntries(write(archive.subarray(0, archive.length - 30))), {
    code: 'FILE_INVALID',
    message: /cut off/,
  });
  const [stored, deflated] = await readZipEntries(write(archive));
  assert.ok(stored && deflated);
  const out = join(folder, 'out');
  const path = write(archive);
  await assert.rejects(extractZipEntry(path, { ...deflated, sizeBytes: 100 }, out), {
    code: 'FILE_INVALID',
    message: /more than the 100 bytes/,
  });
  await assert.rejects(extractZipEntry(path, { ...deflated, sizeBytes: 10 ** 6 }, out), {
    code: 'FILE_INVALID',
    message: /it states 1000000/,
  });
  await assert.rejects(extractZipEntry(path, { ...stored, compressedBytes: 10 ** 9 }, out), {
    code: 'FILE_INVALID',
    message: /cut off/,
  });
  await assert.rejects(extractZipEntry(path, { ...stored, method: 12 }, out), {
    code: 'FILE_INVALID',
    message: /method 12/,
  });
  await assert.rejects(extractZipEntry(path, { ...stored, localOffset: 3 }, out), {
    code: 'FILE_INVALID',
    message: /header of a\/stored\.bin/,
  });
});
