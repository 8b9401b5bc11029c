/** The loader's thread: the same adapter as on this thread, by moved memory; and ten lives of it in a row. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { TestClock } from '../../../test/support/gated-loader.ts';
import { GOLDEN } from '../../../test/conformance/goldens.ts';
import { loadPeftBases, loadPeftCases } from '../../../test/support/peft-cases.ts';
import { writeRandomAdapter } from '../../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../../test/support/tiny-base.ts';
import { compileAdapter, composeAdapters, isMixable, packAdapter, readArtefact } from '../../adapters/index.ts';
import { openBase } from '../../model/index.ts';
import { loadNativeKernels } from '../../numeric/index.ts';
import { buffersOf, sharedBuffersOf, sizeOfBuffers } from './buffers.ts';
import { spawnLoader, ThreadedLoader } from './loader.ts';
import type { AdapterSource } from '../messages.ts';
import { AdapterResidency } from './residency.ts';

const folder = mkdtempSync(join(tmpdir(), 'loader-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'tiny');
writeTinyBase(path);
const open = { name: 'tiny', path, format: 'bf16', packedDirectory: folder } as const;
const kernels = loadNativeKernels();
const base = openBase(open, kernels);

function sourceOf(seed: number, rank = 4): AdapterSource {
  const directory = join(folder, `adapter-${seed}`);
  writeRandomAdapter(directory, tinySites(), { seed, rank, targets: 'all-linear' });
  return { digest: `sha256:${seed}`, directory, tenant: 'acme' };
}

test('what comes from the thread is what this thread compiles, from disk and from memory', async () => {
  await using loader = new ThreadedLoader(open);
  const source = sourceOf(1);
  const here = packAdapter(compileAdapter(readArtefact(source.directory, base), base), base);
  const fromDisk = await loader.load(source, undefined);
  assert.deepEqual(fromDisk.adapter, here);
  const { files } = fromDisk;
  // The folder is not read again.
  rmSync(source.directory, { recursive: true });
  const fromMemory = await loader.load(source, files);
  assert.deepEqual(fromMemory.adapter, here);
  assert.equal(sizeOfBuffers(files), 0, 'the files were moved, not copied');
  assert.ok(sizeOfBuffers(fromMemory.files) > 0);
});

test('a mix from the thread is what this thread composes, whatever the method; it has nothing of its parts', async () => {
  const bases = loadPeftBases();
  const name = 'tiny-llama';
  const own = openBase({ name, path: join(GOLDEN, 'models', name), format: 'f32', packedDirectory: folder }, kernels);
  await using loader = new ThreadedLoader({ ...open, name, path: join(GOLDEN, 'models', name), format: 'f32' });
  const cases = loadPeftCases(bases).filter(
    (one) => one.base.name === name && isMixable(packAdapter(one.compiled, own)),
  );
  const kinds = new Set<string>();
  for (const one of cases) {
    const source = { digest: one.name, directory: join(GOLDEN, 'peft', 'methods', one.name), tenant: 'acme' };
    const loaded = [await loader.load(source, undefined), await loader.load(source, undefined)];
    assert.deepEqual(buffersOf(loaded.map(({ adapter }) => adapter.sites)), [], 'no part is copied on its way');
    const weights = [0.3, -1.7];
    const mix = await loader.mix(loaded.map(({ adapter }, part) => ({ adapter, weight: weights[part] })));
    const packed = packAdapter(compileAdapter(readArtefact(source.directory, own), own), own);
    const here = composeAdapters(weights.map((weight) => ({ adapter: packed, weight })));
    assert.deepEqual([mix.sites, mix.program], [here.sites, here.program], one.name);
    const memory = new Set(sharedBuffersOf(mix));
    assert.deepEqual(buffersOf(mix.sites), []);
    assert.ok(sharedBuffersOf(loaded.map(({ adapter }) => adapter)).every((buffer) => !memory.has(buffer)));
    for (const [primitive] of mix.sites.values()) kinds.add(primitive.kind);
    if (mix.program) kinds.add('program');
  }
  assert.deepEqual([...kinds].sort(), ['kronecker-delta', 'program', 'scaled-low-rank-delta']);
  const scaling = { digest: 'ia3', directory: join(GOLDEN, 'peft', 'methods', 'ia3'), tenant: 'acme' };
  const { adapter } = await loader.load(scaling, undefined);
  await assert.rejects(loader.mix([{ adapter, weight: 1 }]), { code: 'REQUEST_INVALID', param: 'adapters' });
});

test('the memory of an adapter that has gone is the next one’s', async () => {
  await using loader = new ThreadedLoader(open);
  const first = await loader.load(sourceOf(9), undefined);
  const bytes = first.adapter.program?.bytes ?? assert.fail('it is packed');
  loader.reclaim(first.adapter);
  const second = await loader.load(sourceOf(10), undefined);
  assert.deepEqual(second.adapter.program?.bytes, bytes, 'both are views of the same memory');
});

test('only the thread that loads gives way to others', { skip: process.platform !== 'linux' }, async () => {
  const countByNiceness = (): Map<number, number> => {
    const counts = new Map<number, number>();
    for (const thread of readdirSync('/proc/self/task')) {
      // The name, in parentheses, may hold blanks; niceness is the 17th field after it.
      const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
      const niceness = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
      counts.set(niceness, (counts.get(niceness) ?? 0) + 1);
    }
    return counts;
  };
  const own = getPriority();
  const before = countByNiceness().get(own + 8) ?? 0;
  await using loader = new ThreadedLoader(open);
  await loader.load(sourceOf(11), undefined);
  assert.equal(countByNiceness().get(own + 8), before + 1);
  assert.equal(getPriority(), own);
});

test('a broken artefact fails its own load, with the reason', async () => {
  await using loader = new ThreadedLoader(open);
  const broken = sourceOf(2);
  writeFileSync(join(broken.directory, 'adapter_model.safetensors'), 'nothing');
  const [first, second] = await Promise.allSettled([
    loader.load(broken, undefined),
    loader.load(sourceOf(3), undefined),
  ]);
  assert.ok(first.status === 'rejected');
  assert.equal((first.reason as { code?: string }).code, 'ADAPTER_INVALID');
  assert.equal(second.status, 'fulfilled');
});

test('a thread that dies fails what it had; the next load gets a new one', async () => {
  const threads: Worker[] = [];
  await using loader = new ThreadedLoader(open, (options) => {
    const worker = spawnLoader(options);
    threads.push(worker);
    return worker;
  });
  const source = sourceOf(4);
  await loader.load(source, undefined);
  const lost = loader.load(source, undefined);
  const [, outcome] = await Promise.all([threads[0].terminate(), lost.catch((error: unknown) => error)]);
  if (outcome instanceof Error) assert.match(outcome.message, /stopped/);
  assert.ok(sizeOfBuffers((await loader.load(source, undefined)).adapter) > 0);
  assert.equal(threads.length, 2);
});

test('hundreds of loads and unloads end with every byte given back', { timeout: 120_000 }, async () => {
  await using loader = new ThreadedLoader(open);
  const residency = new AdapterResidency(loader, new TestClock(), { readyBytes: 2 ** 20, hostBytes: 2 ** 20 });
  const sources = [5, 6, 7, 8].map((seed) => sourceOf(seed, 1 + (seed % 3)));
  const sizes = new Map<string, number>();
  for (let cycle = 0; cycle < 400; cycle++) {
    const source = sources[cycle % sources.length];
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    residency.pin(source, resolve, reject);
    const sizeBytes = await promise;
    const { ready, host, pinnedBytes } = residency.stats();
    assert.deepEqual([ready.sizeBytes, ready.heldBytes, pinnedBytes], [sizeBytes, sizeBytes, sizeBytes]);
    const total = sizeBytes + host.sizeBytes;
    assert.equal(sizes.get(source.digest) ?? total, total, 'the same bytes each time');
    sizes.set(source.digest, total);
    assert.deepEqual(residency.unload(source.digest, 'acme'), { freedBytes: total, inUseBytes: 0, sharedBytes: 0 });
    const rest = residency.stats();
    assert.deepEqual([rest.ready.sizeBytes, rest.host.sizeBytes, rest.pinnedBytes], [0, 0, 0]);
  }
  assert.equal(residency.stats().diskLoads, 400);
  assert.deepEqual(residency.list(null, 10), []);
});
