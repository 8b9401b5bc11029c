import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { writeRandomAdapter } from '../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../test/support/tiny-base.ts';
import { EngineClient } from './client.ts';
import { DEFAULT_ENGINE } from './engine.ts';
import type { AdapterSource, LoadObservation, WorkerInit } from './messages.ts';
import { GREEDY, type GenerateRequest } from './request.ts';
import { spawnEngine } from './start-worker.ts';

const folder = mkdtempSync(join(tmpdir(), 'engine-client-'));
const base = { name: 'tiny', path: join(folder, 'tiny'), format: 'bf16', packedDirectory: folder } as const;
const residency = { readyBytes: 2 ** 20, hostBytes: 2 ** 20 };
const init: WorkerInit = { base, threads: 1, engine: DEFAULT_ENGINE, residency, vocabulary: null };
const adapter: AdapterSource = { digest: 'sha256:a', directory: join(folder, 'adapter'), tenant: 'acme' };

before(() => {
  writeTinyBase(base.path);
  writeRandomAdapter(adapter.directory, tinySites(), { seed: 1, rank: 4, targets: 'all-linear' });
});
after(() => rmSync(folder, { recursive: true }));

function request(id: string, maxTokens: number, digest: string | null = null): GenerateRequest {
  const promptTokenIds = Int32Array.of(5, 6, 7);
  return { id, promptTokenIds, adapter: digest, maxTokens, stopTokenIds: [], sampling: GREEDY };
}

async function tokensOf(events: ReturnType<EngineClient['submit']>): Promise<number[]> {
  const ids: number[] = [];
  for await (const { tokenIds } of events) ids.push(...tokenIds);
  return ids;
}

/** Waits until nothing runs. @returns blocks that are still held */
async function blocksHeldAtRest(client: EngineClient): Promise<number> {
  for (;;) {
    const { numRunning, numWaiting, numWaitingForAdapter, cacheBlocks, cacheBlocksFree } = await client.stats();
    if (numRunning + numWaiting + numWaitingForAdapter === 0) return cacheBlocks - cacheBlocksFree;
    await sleep(5);
  }
}

test('a base that cannot be opened fails the start, with its own code', async () => {
  const missing = { ...base, path: join(folder, 'nowhere') };
  await assert.rejects(EngineClient.start({ ...init, base: missing }), { code: 'MODEL_NOT_FOUND' });
});

test('an adapter answers; one that cannot be read fails its own request only', async () => {
  await using client = await EngineClient.start(init);
  const broken = { digest: 'sha256:b', directory: join(folder, 'nowhere'), tenant: 'acme' };
  const [ofBase, ofAdapter, error] = await Promise.all([
    tokensOf(client.submit(request('1', 8), null)),
    tokensOf(client.submit(request('2', 8, adapter.digest), adapter)),
    tokensOf(client.submit(request('3', 8, broken.digest), broken)).catch((reason: unknown) => reason),
  ]);
  assert.deepEqual([ofBase.length, ofAdapter.length], [8, 8]);
  assert.notDeepEqual(ofAdapter, ofBase);
  assert.equal((error as { code?: string }).code, 'ADAPTER_UNAVAILABLE');
  assert.doesNotMatch((error as Error).message, new RegExp(folder), 'no path of this machine');
  const { ready, diskLoads, failedLoads } = (await client.stats()).residency;
  assert.deepEqual([ready.count, diskLoads, failedLoads], [1, 1, 1]);
  assert.equal(await blocksHeldAtRest(client), 0);
});

test('a signal and a reader that leaves both free the sequence', { timeout: 30_000 }, async () => {
  await using client = await EngineClient.start(init);
  const gone = AbortSignal.abort();
  await assert.rejects(tokensOf(client.submit(request('before', 8), null, gone)), { code: 'CANCELLED' });
  const left = new AbortController();
  let numTokens = 0;
  const answering = async (): Promise<void> => {
    for await (const _ of client.submit(request('during', 500, adapter.digest), adapter, left.signal)) {
      if (++numTokens === 3) left.abort();
    }
  };
  await assert.rejects(answering(), { code: 'CANCELLED' });
  for await (const _ of client.submit(request('leaves', 500), null)) break;
  assert.equal(await blocksHeldAtRest(client), 0);
  assert.ok((await client.stats()).generatedTokens < 1000);
});

test('an adapter is let go however its request ends', { timeout: 30_000 }, async () => {
  await using client = await EngineClient.start(init);
  const tooLong = client.submit(request('refused', 10_000, adapter.digest), adapter);
  await assert.rejects(tokensOf(tooLong), { code: 'CONTEXT_TOO_LONG' });
  await tokensOf(client.submit(request('answered', 4, adapter.digest), adapter));
  for await (const _ of client.submit(request('left', 500, adapter.digest), adapter)) break;
  assert.equal(await blocksHeldAtRest(client), 0);
  const { ready } = (await client.stats()).residency;
  assert.ok(ready.sizeBytes > 0);
  assert.equal(ready.heldBytes, 0);
});

test('tokens are timed, and loads are told of', async () => {
  const seen = {
    waits: [] as number[],
    first: [] as [number, boolean][],
    next: [] as number[],
    loads: [] as LoadObservation[],
  };
  await using client = await EngineClient.start(init, {
    observer: {
      onQueueWait: (seconds) => seen.waits.push(seconds),
      onFirstToken: (seconds, hasAdapter) => seen.first.push([seconds, hasAdapter]),
      onNextToken: (seconds) => seen.next.push(seconds),
    },
    onLoad: (load) => seen.loads.push(load),
  });
  await tokensOf(client.submit(request('1', 5), null));
  await tokensOf(client.submit(request('2', 3, adapter.digest), adapter));
  assert.deepEqual(
    seen.first.map(([, hasAdapter]) => hasAdapter),
    [false, true],
  );
  assert.equal(seen.next.length, 4 + 2);
  assert.equal(seen.waits.length, 2);
  for (const seconds of [...seen.waits, ...seen.next, ...seen.first.map(([first]) => first)])
    assert.ok(seconds >= 0 && seconds < 600);
  assert.deepEqual(
    seen.loads.map(({ digest, from, isLoaded }) => ({ digest, from, isLoaded })),
    [{ digest: adapter.digest, from: 'disk', isLoaded: true }],
  );
});

test('a pinned adapter is listed, unloading frees it, and says how many bytes', async () => {
  await using client = await EngineClient.start(init);
  const { sizeBytes } = await client.pin(adapter);
  const [listed] = await client.residency('acme', 10);
  assert.deepEqual([listed.digest, listed.isPinned, listed.readyBytes], [adapter.digest, true, sizeBytes]);
  assert.deepEqual(await client.residency('globex', 10), []);
  const { freedBytes } = await client.unload(adapter.digest, 'acme');
  assert.equal(freedBytes, listed.readyBytes + listed.hostBytes);
  assert.deepEqual(await client.residency(null, 10), []);
});

/** A client whose engine's threads are at hand. */
async function mortalClient(): Promise<{ client: EngineClient; threads: Worker[]; crashes: [string, boolean][] }> {
  const threads: Worker[] = [];
  const crashes: [string, boolean][] = [];
  const spawn = (options: WorkerInit): Worker => {
    const worker = spawnEngine(options);
    threads.push(worker);
    return worker;
  };
  const onCrash = (reason: string, willRestart: boolean): unknown => crashes.push([reason, willRestart]);
  return { client: await EngineClient.start(init, { spawn, onCrash }), threads, crashes };
}

async function untilAlive(client: EngineClient): Promise<void> {
  while (!client.isAlive) await sleep(5);
}

test(
  'when its thread dies, requests fail with the reason, and a new one takes over with the pins',
  { timeout: 60_000 },
  async () => {
    const { client, threads, crashes } = await mortalClient();
    await using _ = client;
    await client.pin(adapter);
    const before = await tokensOf(client.submit(request('before', 8, adapter.digest), adapter));
    const events = client.submit(request('during', 500), null);
    await events.next();
    const asked = client.stats();
    const [, cut] = await Promise.all([
      threads[0].terminate(),
      tokensOf(events).catch((error: unknown) => error as Error & { code?: string }),
      asked.catch(() => undefined),
    ]);
    assert.ok(cut instanceof Error);
    assert.equal(cut.code, 'ENGINE_UNAVAILABLE');
    assert.match(cut.message, /the engine stopped .* being started again/);
    assert.equal(client.isAlive, false);
    await assert.rejects(tokensOf(client.submit(request('meanwhile', 5), null)), { code: 'ENGINE_UNAVAILABLE' });
    await untilAlive(client);
    assert.deepEqual(await tokensOf(client.submit(request('after', 8, adapter.digest), adapter)), before);
    const [listed] = await client.residency('acme', 10);
    assert.equal(listed.isPinned, true);
    assert.deepEqual(crashes, [['its thread ended with code 1', true]]);
  },
);

test('a thread that dies again and again stays dead, and says so', { timeout: 60_000 }, async () => {
  const { client, threads, crashes } = await mortalClient();
  await using _ = client;
  for (let n = 0; n < 4; n++) {
    await untilAlive(client);
    await threads[n].terminate();
    while (crashes.length === n) await sleep(1);
  }
  assert.deepEqual(
    crashes.map(([, willRestart]) => willRestart),
    [true, true, true, false],
  );
  await assert.rejects(client.stats(), { code: 'ENGINE_UNAVAILABLE', message: /has to be started again/ });
  assert.equal(threads.length, 4);
});

test(
  'what the engine refuses or gives up reaches its own request, with all that it says',
  { timeout: 30_000 },
  async () => {
    const engine = { ...DEFAULT_ENGINE, maxWaitingPerTenant: 0 };
    await using full = await EngineClient.start({ ...init, engine });
    const refused = full.submit(request('refused', 4, adapter.digest), adapter);
    await assert.rejects(tokensOf(refused), { code: 'OVERLOADED', retryAfterMs: 1000 });
    assert.equal((await full.stats()).residency.ready.heldBytes, 0);
    await using client = await EngineClient.start(init);
    const late = client.submit({ ...request('late', 4, adapter.digest), deadlineMs: 0 }, adapter);
    const [answer, error] = await Promise.all([
      tokensOf(client.submit(request('in time', 4), null)),
      tokensOf(late).catch((reason: unknown) => reason),
    ]);
    assert.equal(answer.length, 4);
    assert.equal((error as { code?: string }).code, 'DEADLINE_EXCEEDED');
    assert.equal(await blocksHeldAtRest(client), 0);
    assert.equal((await client.stats()).residency.ready.heldBytes, 0);
  },
);

test('the first event tells what was cached, and the counts add up', { timeout: 30_000 }, async () => {
  await using client = await EngineClient.start(init);
  const promptTokenIds = Int32Array.from({ length: 40 }, (_, i) => i);
  const cached: unknown[] = [];
  for (const id of ['first', 'again']) {
    for await (const event of client.submit({ ...request(id, 2), promptTokenIds }, null))
      cached.push(event.cachedTokens);
  }
  assert.deepEqual(cached, [0, undefined, 32, undefined]);
  const { prefixHits, prefixMisses, prefixEvictions, preemptions, cacheBlocksCached } = await client.stats();
  assert.deepEqual([prefixHits, prefixMisses, prefixEvictions, preemptions, cacheBlocksCached], [2, 2, 0, 0, 2]);
});

test('closing fails what is in flight, and what comes later', { timeout: 30_000 }, async () => {
  const client = await EngineClient.start(init);
  const answering = tokensOf(client.submit(request('1', 500), null));
  const asked = client.stats();
  const closing = client[Symbol.asyncDispose]();
  await assert.rejects(answering, { code: 'CANCELLED' });
  // Answered or failed, but never left open.
  await Promise.race([asked, closing]).catch(() => undefined);
  await closing;
  await asked.catch((error: unknown) => assert.equal((error as { code?: string }).code, 'CANCELLED'));
  await assert.rejects(client.stats(), { code: 'CANCELLED' });
  await assert.rejects(tokensOf(client.submit(request('2', 5), null)), { code: 'CANCELLED' });
  assert.equal(client.isAlive, false);
});
