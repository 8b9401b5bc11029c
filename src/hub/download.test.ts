import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileServer } from '../../test/support/file-server.ts';
import { downloadFile, NOT_FOUND, type DownloadOptions } from './download.ts';

const folder = mkdtempSync(join(tmpdir(), 'espalier-download-'));
after(() => rmSync(folder, { recursive: true }));

const bytes = Buffer.alloc(200_000, 'some content ');
const sha256 = createHash('sha256').update(bytes).digest('hex');

let numPaths = 0;
function options(url: string, more: Partial<DownloadOptions> = {}): DownloadOptions {
  const path = join(folder, `file-${numPaths++}`);
  return { url, path, fetch, connectTimeoutMs: 2000, idleTimeoutMs: 2000, onProgress: () => undefined, ...more };
}

test('a file arrives whole, its progress counts up to its size, and no part is left', async () => {
  await using server = await FileServer.start({ '/f': { bytes } });
  const seen: number[] = [];
  const download = options(`${server.origin}/f`, {
    sha256,
    onProgress: (received, total) => seen.push(received, total ?? -1),
  });
  assert.equal(await downloadFile(download), undefined);
  assert.ok(readFileSync(download.path).equals(bytes));
  assert.deepEqual(seen.slice(-2), [bytes.length, bytes.length]);
  assert.deepEqual([`${download.path}.part`, `${download.path}.part.etag`].map(existsSync), [false, false]);
});

test('a connection that breaks is taken up where it broke', async () => {
  await using server = await FileServer.start({ '/f': { bytes, cut: { afterBytes: 70_000, times: 2 } } });
  const download = options(`${server.origin}/f`, { sha256 });
  await downloadFile(download);
  assert.ok(readFileSync(download.path).equals(bytes));
  // How much of what was sent before the break arrived is for the network to say.
  const offsets = server.requests.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1]));
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
  assert.ok(offsets.length === 3 && offsets[2] > 0, `${offsets.join()}`);
});

test('a part of an earlier attempt is continued only if the file is still the same', async () => {
  await using server = await FileServer.start({ '/f': { bytes, stallAfterBytes: 70_000 } });
  const first = options(`${server.origin}/f`);
  const controller = new AbortController();
  const cut = downloadFile({ ...first, signal: controller.signal, onProgress: () => controller.abort() });
  await assert.rejects(cut, { code: 'CANCELLED' });
  assert.ok(existsSync(`${first.path}.part`));
  const other = Buffer.alloc(150_000, 'other ');
  server.files.set('/f', { bytes: other });
  await downloadFile(first);
  assert.ok(readFileSync(first.path).equals(other));
  assert.match(server.requests.at(-1)?.range ?? '', /^bytes=\d+-$/);
});

test('another content than expected or announced is refused, and nothing of it is kept', async () => {
  const announced = '0'.repeat(64);
  await using server = await FileServer.start({ '/f': { bytes }, '/moved': { bytes, redirectTo: '/f', announced } });
  for (const [path, expected] of [
    ['/f', '1'.repeat(64)],
    ['/moved', undefined],
  ] as const) {
    const download = options(server.origin + path, { sha256: expected });
    await assert.rejects(downloadFile(download), {
      code: 'DIGEST_MISMATCH',
      message: new RegExp(`sha256 ${sha256}, expected ${expected ?? announced}`),
    });
    assert.deepEqual([download.path, `${download.path}.part`].map(existsSync), [false, false]);
  }
});

test('a server that always breaks off is given up', async () => {
  await using server = await FileServer.start({ '/f': { bytes, cut: { afterBytes: 0, times: Infinity } } });
  await assert.rejects(downloadFile(options(`${server.origin}/f`)), {
    code: 'DOWNLOAD_FAILED',
    message: /broke off after 0 bytes/,
  });
  assert.equal(server.requests.length, 3);
});

test('redirects are followed, and the token stays with the first server', async () => {
  await using storage = await FileServer.start({ '/blob': { bytes } });
  await using hub = await FileServer.start({
    '/f': { bytes, redirectTo: '/g', announced: sha256 },
    '/g': { bytes, redirectTo: `${storage.origin}/blob` },
  });
  const download = options(`${hub.origin}/f`, { token: 'secret' });
  await downloadFile(download);
  assert.ok(readFileSync(download.path).equals(bytes));
  assert.deepEqual(
    hub.requests.map(({ authorization }) => authorization),
    ['Bearer secret', 'Bearer secret'],
  );
  assert.deepEqual(
    storage.requests.map(({ authorization }) => authorization),
    [undefined],
  );
});

test('a redirect in a circle ends', async () => {
  await using server = await FileServer.start({ '/f': { bytes, redirectTo: '/f' } });
  await assert.rejects(downloadFile(options(`${server.origin}/f`)), { code: 'DOWNLOAD_FAILED', message: /redirects/ });
});

test('404 is told apart from other answers', async () => {
  await using server = await FileServer.start();
  assert.equal(await downloadFile(options(`${server.origin}/none`)), NOT_FOUND);
});

test('a server that does not answer, stops, or is not there is given up with its reason', async () => {
  await using server = await FileServer.start({
    '/stall': { bytes, stallAfterBytes: 10 },
    '/mute': { bytes, stallAfterBytes: 0 },
  });
  await assert.rejects(downloadFile(options(`${server.origin}/stall`, { idleTimeoutMs: 50 })), {
    code: 'DOWNLOAD_FAILED',
    message: /nothing came for 50 ms/,
  });
  const mute = downloadFile(options(`${server.origin}/mute`, { connectTimeoutMs: 50 }));
  await assert.rejects(mute, { code: 'DOWNLOAD_FAILED', message: /no answer within 50 ms/ });
  await assert.rejects(downloadFile(options('http://127.0.0.1:9/f')), {
    code: 'DOWNLOAD_FAILED',
    message: /127\.0\.0\.1:9.*(ECONNREFUSED|bad port)/,
  });
});

test('a part that is longer than the file is given up and begun again', async () => {
  await using server = await FileServer.start({ '/f': { bytes } });
  const download = options(`${server.origin}/f`);
  writeFileSync(`${download.path}.part`, Buffer.alloc(bytes.length + 1));
  await downloadFile(download);
  assert.ok(readFileSync(download.path).equals(bytes));
});
