import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { app, get, restart } from '../../test/conformance/http/app-harness.ts';
import { readConsoleFiles } from './console-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'console-files-'));
mkdirSync(join(folder, 'assets'));
writeFileSync(join(folder, 'index.html'), '<!doctype html><meta name="nonce" content="__NONCE__"><p>console</p>');
writeFileSync(join(folder, 'assets', 'index-abc.js'), 'export const a = 1;\n');
writeFileSync(join(folder, 'assets', 'secret.env'), 'no');
after(() => rmSync(folder, { recursive: true }));

const withConsole = (): void => restart({ console: readConsoleFiles(folder) });

test('the page is served at every path of the console, with a policy that lets nothing in from elsewhere', async () => {
  withConsole();
  for (const path of ['/', '/console']) {
    const response = await get(path, null);
    assert.deepEqual([response.status, response.headers.get('location')], [302, '/console/']);
  }
  const nonces = new Set<string>();
  for (const path of ['/console/', '/console/jobs/ftjob-1', '/console/..%2f..%2fetc%2fpasswd']) {
    const response = await get(path, null);
    assert.equal(response.status, 200, path);
    assert.match(response.headers.get('content-type') ?? '', /^text\/html/);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const policy = response.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self' 'nonce-\w{20,}'; /);
    assert.ok(!policy.includes('unsafe'));
    const nonce = /'nonce-(\w+)'/.exec(policy)?.[1] ?? '';
    assert.ok((await response.text()).includes(`content="${nonce}"`));
    nonces.add(nonce);
  }
  assert.equal(nonces.size, 3, 'each page has a nonce of its own');
});

test('files are kept by the browser, compressed for it, and only those of known kinds', async () => {
  withConsole();
  const path = '/console/assets/index-abc.js';
  const plain = await get(path, null);
  assert.equal(await plain.text(), 'export const a = 1;\n');
  assert.equal(plain.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal(plain.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  assert.equal(plain.headers.get('x-content-type-options'), 'nosniff');
  const zipped = await get(path, null, { 'Accept-Encoding': 'br, gzip' });
  assert.equal(zipped.headers.get('content-encoding'), 'gzip');
  assert.equal(gunzipSync(await zipped.bytes()).toString(), 'export const a = 1;\n');
  const again = await get(path, null, { 'If-None-Match': plain.headers.get('etag') ?? '' });
  assert.equal(again.status, 304);
  for (const none of ['/console/assets/secret.env', '/console/assets/nothing.js']) {
    assert.equal((await get(none, null)).status, 404, none);
  }
  assert.equal((await Promise.resolve(app.request(path, { method: 'POST' }))).status, 404);
});

test('a server without a built console says how to make it', async () => {
  restart();
  assert.equal(readConsoleFiles(join(folder, 'assets')), undefined);
  const response = await get('/console/', null);
  assert.equal(response.status, 404);
  assert.match(await response.text(), /build:console/);
});
