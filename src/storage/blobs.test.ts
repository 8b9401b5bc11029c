import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock, type Digest } from '../base/index.ts';
import { makeFolderOnce, sweepTemporaries, writeFileAtomic } from './atomic.ts';
import { BlobStore } from './blobs.ts';

/** sha256 of "abc", the first example of FIPS 180-2. */
const ABC: Digest = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-blobs-'));
});
after(() => rm(folder, { recursive: true }));

test('a blob is named by its content, however it came in', async () => {
  const blobs = await BlobStore.open(join(folder, 'names'), systemClock);
  assert.deepEqual(await blobs.put('abc'), { digest: ABC, sizeBytes: 3 });
  const file = join(folder, 'abc.txt');
  await writeFile(file, 'abc');
  assert.deepEqual(await blobs.putFile(file), { digest: ABC, sizeBytes: 3 });
  assert.equal((await blobs.get(ABC)).toString(), 'abc');
  assert.deepEqual(await blobs.list(), [ABC]);
  assert.equal((await stat(blobs.path(ABC))).mode & 0o222, 0, 'read-only');
  blobs.remove(ABC);
  blobs.remove(ABC);
  assert.equal(blobs.has(ABC), false);
  await assert.rejects(blobs.putFile(join(folder, 'none')), { code: 'FILE_NOT_FOUND' });
});

test('a missing or damaged blob is noticed, and writing it again heals it', async () => {
  const blobs = await BlobStore.open(join(folder, 'damage'), systemClock);
  assert.equal(await blobs.verify(ABC), 'missing');
  await assert.rejects(blobs.get(ABC), { code: 'STORAGE_CORRUPT', message: /missing/ });
  await blobs.put('abc');
  assert.equal(await blobs.verify(ABC), 'whole');
  await chmod(blobs.path(ABC), 0o644);
  await writeFile(blobs.path(ABC), 'abd');
  assert.equal(await blobs.verify(ABC), 'corrupt');
  await assert.rejects(blobs.get(ABC), { code: 'STORAGE_CORRUPT', message: /damaged/ });
  await blobs.put('abc');
  assert.equal(await blobs.verify(ABC), 'whole');
});

test('a source that fails leaves nothing', async () => {
  const blobs = await BlobStore.open(join(folder, 'failing'), systemClock);
  await mkdir(join(folder, 'a-folder'));
  await assert.rejects(blobs.putFile(join(folder, 'a-folder')));
  assert.deepEqual(await readdir(blobs.folder), []);
});

test('opening sweeps what dead processes left, and nothing of living ones', async () => {
  const at = join(folder, 'swept');
  await mkdir(at);
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  const dead = `.tmp~${hostname()}~${child.pid}~x`;
  const mine = `.tmp~${hostname()}~${process.pid}~x`;
  const elsewhere = `.tmp~another-host~${child.pid}~x`;
  const old = '.tmp~another-host~1~y';
  for (const name of [dead, mine, elsewhere, old, 'other']) await writeFile(join(at, name), '');
  await utimes(join(at, old), 0, 0);
  await sweepTemporaries(at, systemClock);
  assert.deepEqual((await readdir(at)).sort(), [elsewhere, mine, 'other'].sort());
});

test('writers of the same content at once all succeed', async () => {
  const at = join(folder, 'at-once');
  const stores = await Promise.all(Array.from({ length: 8 }, () => BlobStore.open(at, systemClock)));
  await Promise.all(stores.map((blobs) => blobs.put('abc')));
  const [blobs] = stores;
  assert.deepEqual(await blobs?.list(), [ABC]);
  assert.deepEqual(await readdir(at), ['ba']);
});

test('a folder is made once and whole', async () => {
  const at = join(folder, 'once', 'made');
  let numFills = 0;
  const fill = async (temporary: string): Promise<void> => {
    numFills++;
    await writeFile(join(temporary, 'a'), 'first');
  };
  await assert.rejects(
    makeFolderOnce(at, async (temporary) => {
      await fill(temporary);
      throw new Error('half way');
    }),
    { message: 'half way' },
  );
  assert.deepEqual(await readdir(join(folder, 'once')), []);
  await Promise.all([makeFolderOnce(at, fill), makeFolderOnce(at, fill)]);
  const filled = numFills;
  await makeFolderOnce(at, fill);
  assert.equal(numFills, filled);
  assert.deepEqual(await readdir(join(folder, 'once')), ['made']);
});

test('a file is replaced whole', async () => {
  const at = join(folder, 'file', 'state.json');
  await writeFileAtomic(at, 'one');
  await writeFileAtomic(at, 'two');
  assert.equal(await readFile(at, 'utf8'), 'two');
  assert.deepEqual(await readdir(join(folder, 'file')), ['state.json']);
});
