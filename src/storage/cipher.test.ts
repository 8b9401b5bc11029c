import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TemporaryFolder } from '../../test/support/processes.ts';
import { systemClock, type Digest } from '../base/index.ts';
import { BlobStore } from './blobs.ts';
import { FileCipher } from './cipher.ts';

const folder = new TemporaryFolder();
after(() => folder[Symbol.dispose]());
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const CHUNK = 64 * 1024;
const HEADER = 32;

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

async function sealed(cipher: FileCipher, plain: Uint8Array, pieces = 7919): Promise<string> {
  const chunks = Array.from({ length: Math.ceil(plain.length / pieces) }, (_, n) =>
    plain.subarray(n * pieces, (n + 1) * pieces),
  );
  const path = folder.join('sealed');
  writeFileSync(path, await gather(cipher.encrypt(chunks)));
  return path;
}

test('what was encrypted comes back, at every border of a chunk', async () => {
  const cipher = new FileCipher([keyOf(1)]);
  for (const length of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17]) {
    const plain = Buffer.from(Uint8Array.from({ length }, (_, n) => (n * 31) % 251));
    const path = await sealed(cipher, plain);
    assert.ok((await gather(cipher.decrypt(path))).equals(plain), `${length} bytes`);
    if (length > 16) assert.ok(!readFileSync(path).includes(plain.subarray(0, 16)), 'nothing of it can be read');
  }
  const [one, two] = [readFileSync(await sealed(cipher, keyOf(5))), readFileSync(await sealed(cipher, keyOf(5)))];
  assert.ok(!one.subarray(HEADER).equals(two.subarray(HEADER)), 'the same content is never the same file');
});

test('a file that was changed, cut, reordered or put together from others is refused', async () => {
  const cipher = new FileCipher([keyOf(1)]);
  const whole = readFileSync(await sealed(cipher, Buffer.alloc(3 * CHUNK, 'abc')));
  const other = readFileSync(await sealed(cipher, Buffer.alloc(3 * CHUNK, 'xyz')));
  const size = CHUNK + 16;
  const chunk = (from: Buffer, n: number): Buffer => from.subarray(HEADER + n * size, HEADER + (n + 1) * size);
  const head = whole.subarray(0, HEADER);
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(whole);
    copy[at] ^= 1;
    return copy;
  };
  for (const [what, bytes] of Object.entries({
    'a bit of the content': flipped(HEADER + 5),
    'a bit of a tag': flipped(HEADER + size - 1),
    'a bit of the salt': flipped(20),
    'no last chunk': Buffer.concat([head, chunk(whole, 0), chunk(whole, 1)]),
    'two chunks changed places': Buffer.concat([head, chunk(whole, 1), chunk(whole, 0), chunk(whole, 2)]),
    'a chunk of another file': Buffer.concat([head, chunk(whole, 0), chunk(other, 1), chunk(whole, 2)]),
    'more behind the end': Buffer.concat([whole, Buffer.alloc(20)]),
    'half a chunk': whole.subarray(0, -100),
    'half a header': whole.subarray(0, 20),
    'no such file': Buffer.from('{"plain":true}'.repeat(20)),
    nothing: Buffer.alloc(0),
  })) {
    writeFileSync(folder.join('changed'), bytes);
    await assert.rejects(gather(cipher.decrypt(folder.join('changed'))), { code: 'STORAGE_CORRUPT' }, what);
  }
});

test('another key is told from a damaged file, and an old key still reads', async () => {
  const path = await sealed(new FileCipher([keyOf(1)]), Buffer.from('secret'));
  await assert.rejects(gather(new FileCipher([keyOf(2)]).decrypt(path)), {
    code: 'CONFIG_INVALID',
    message: /is encrypted with the key [0-9a-f]{16}, ESPALIER_ENCRYPTION_KEY has/,
  });
  assert.equal((await gather(new FileCipher([keyOf(2), keyOf(1)]).decrypt(path))).toString(), 'secret');
});

test('a store of blobs keeps names and digests, whatever is encrypted', async () => {
  const scratch = folder.join('scratch');
  const vault = { cipher: new FileCipher([keyOf(1)]), scratch };
  const plainStore = await BlobStore.open(folder.join('blobs'), systemClock);
  const { digest: before } = await plainStore.put('written before');
  const store = await BlobStore.open(folder.join('blobs'), systemClock, vault);
  const { digest, sizeBytes } = await store.put('written after');
  assert.equal(sizeBytes, 'written after'.length, 'of the content');
  assert.deepEqual((await store.list()).toSorted(), [before, digest].toSorted());
  const text = async (of: Digest): Promise<string> => (await store.get(of)).toString();
  assert.deepEqual([await text(before), await text(digest)], ['written before', 'written after']);
  assert.deepEqual([await store.verify(before), await store.verify(digest)], ['whole', 'whole']);
  assert.ok(!readFileSync(store.path(digest)).includes('written'));
  await assert.rejects(plainStore.get(digest), { code: 'CONFIG_INVALID' });
  await assert.rejects(plainStore.plain(digest), { code: 'CONFIG_INVALID' });

  assert.deepEqual(
    [await store.seal(before), await store.seal(before), await store.seal(digest)],
    [true, false, false],
  );
  assert.ok(!readFileSync(store.path(before)).includes('written'));
  assert.equal(await text(before), 'written before');
  const next = { cipher: new FileCipher([keyOf(2), keyOf(1)]), scratch };
  const renewed = await BlobStore.open(folder.join('blobs'), systemClock, next);
  for (const one of [before, digest]) assert.equal(await renewed.seal(one), true);
  const last = await BlobStore.open(folder.join('blobs'), systemClock, { cipher: new FileCipher([keyOf(2)]), scratch });
  assert.equal((await last.get(before)).toString(), 'written before');
  {
    await using plain = await last.plain(digest);
    assert.equal(readFileSync(plain.path, 'utf8'), 'written after');
    assert.ok(plain.path.startsWith(scratch));
  }
  writeFileSync(join(folder.path, 'x'), '');
  last.remove(digest);
  assert.deepEqual([last.has(digest), last.has(before)], [false, true]);
});
