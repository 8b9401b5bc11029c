/**
 * What a registry of many adapters costs: publishing beside the bytes, resolving, listing, searching, and starting a server on it.
 * The adapters are published as everybody's are, through files, renames and fsyncs; only their tensors are a kilobyte, so that what is
 * measured is the registry and not the disk's bandwidth.
 *
 *   node bench/registry.ts [--adapters=10000] [--tenants=1000] [--base=smollm2-135m-instruct] [--home=FOLDER] [--json] [--quick]
 *
 * With `--home` the state stays there, and is taken as it is where it is filled already. Without `--base` the server starts on a tiny base. With one, its models are read from ESPALIER_HOME, and the state is a scratch folder.
 */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openPlatform, readConfig, type AdapterVersion, type AppConfig, type Platform } from '../src/app/index.ts';
import { referenceOf } from '../src/registry/index.ts';
import { Rng, systemClock } from '../src/base/index.ts';
import { startServe, TemporaryFolder } from '../test/support/processes.ts';
import { writeTinyBase } from '../test/support/tiny-base.ts';

const { values } = parseArgs({
  options: {
    adapters: { type: 'string', default: '10000' },
    tenants: { type: 'string', default: '1000' },
    base: { type: 'string' },
    home: { type: 'string' },
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});

const numAdapters = values.quick ? 200 : Number(values.adapters);
const numTenants = values.quick ? 20 : Number(values.tenants);
const BASE = { name: 'smollm2-135m-instruct', digest: `sha256:${'1'.repeat(64)}` } as const;
/** How many publishes are under way while the registry is filled; the measured ones go one after another. */
const FILLERS = 8;
const NUM_PUBLISHES = values.quick ? 10 : 200;
const NUM_LOOKUPS = values.quick ? 500 : 20_000;
const NUM_LISTS = values.quick ? 20 : 200;
const NUM_STARTS = values.quick ? 1 : 5;
const METHODS = ['lora', 'dora', 'ia3', 'vera'];

interface Row {
  readonly what: string;
  readonly bar: string;
  /** Milliseconds, in order. */
  readonly sorted: readonly number[];
}

using folder = new TemporaryFolder();
const config: AppConfig = { ...readConfig(), home: values.home ?? folder.join('home') };
const rng = Rng.fromSeed(7);
const rows: Row[] = [];

{
  await using platform = await openPlatform(config);
  const begunMs = systemClock.nowMs();
  const isFilled = platform.tenants.list().length >= numTenants;
  if (!isFilled) await fill(platform);
  if (!isFilled) console.error(`published ${numAdapters} adapters of ${numTenants} tenants in ${seconds(begunMs)} s`);
  await measureRegistry(platform);
}
await measureStart();
report();

function tenantOf(index: number): string {
  return `tenant-${String(index % numTenants).padStart(4, '0')}`;
}

function taskOf(index: number): string {
  const subject = ['triage', 'reply', 'summary', 'extract', 'spam'][index % 5];
  return `${subject}-${String(Math.floor(index / numTenants)).padStart(3, '0')}`;
}

function writeArtefact(index: number): string {
  const path = folder.join(`artefact-${index}`);
  mkdirSync(path);
  const settings = { peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj', 'v_proj'] };
  writeFileSync(join(path, 'adapter_config.json'), JSON.stringify(settings));
  const bytes = Uint8Array.from({ length: 1024 }, () => rng.nextUint32() & 0xff);
  writeFileSync(join(path, 'adapter_model.safetensors'), bytes);
  return path;
}

async function publish(platform: Platform, index: number): Promise<AdapterVersion> {
  const { version } = await platform.registry.publish(tenantOf(index), taskOf(index), writeArtefact(index), {
    base: BASE,
    method: METHODS[index % METHODS.length],
    rank: 8,
    parameters: 921_600,
    metrics: { validLoss: 0.5 },
    provenance: { seed: index, data: [{ digest: BASE.digest, examples: 256 }], recipe: { learningRate: 1e-4 } },
  });
  return version;
}

async function fill(platform: Platform): Promise<void> {
  for (let index = 0; index < numTenants; index++) platform.tenants.create(tenantOf(index));
  let next = 0;
  const fillSome = async (): Promise<void> => {
    while (next < numAdapters) {
      const version = await publish(platform, next++);
      if (next % 20 === 0) platform.registry.tag(null, referenceOf(version), { add: ['reviewed'], remove: [] });
    }
  };
  await Promise.all(Array.from({ length: FILLERS }, fillSome));
}

async function measureRegistry({ registry, ...platform }: Platform): Promise<void> {
  const publishes: number[] = [];
  for (let n = 0; n < NUM_PUBLISHES; n++) {
    // Under numbers of their own, also when the home has been measured before.
    const index = numAdapters + n + Math.floor(systemClock.epochMs());
    publishes.push(await timedAsync(() => publish({ registry, ...platform }, index)));
  }
  add('publish, bytes aside', '< 50 ms', publishes);

  const all: AdapterVersion[] = [];
  for (let after: string | undefined; ;) {
    const page = registry.list(null, after === undefined ? {} : { after });
    const last = page.at(-1);
    if (!last) break;
    all.push(...page);
    after = referenceOf(last);
  }
  const some = (): AdapterVersion => all[rng.nextBelow(all.length)];
  const repeat = (times: number, work: () => unknown): number[] => Array.from({ length: times }, () => timed(work));
  const byName = repeat(NUM_LOOKUPS, () => {
    const { tenant, task } = some();
    return registry.resolve(tenant, `${tenant}/${task}`);
  });
  add('resolve TENANT/TASK', 'p99 < 1 ms', byName);
  add(
    'resolve TENANT/TASK@VERSION',
    'p99 < 1 ms',
    repeat(NUM_LOOKUPS, () => {
      const version = some();
      return registry.resolve(version.tenant, referenceOf(version));
    }),
  );
  add(
    'resolve sha256:…',
    'p99 < 1 ms',
    repeat(NUM_LOOKUPS, () => registry.resolve(null, some().digest)),
  );
  add(
    'route a task by session',
    'p99 < 1 ms',
    repeat(NUM_LOOKUPS, () => {
      const { tenant, task } = some();
      return registry.route(tenant, task, 'session-1');
    }),
  );
  const last = all.at(-1);
  const middle = all[all.length >> 1];
  if (!last) throw new Error('nothing was published');
  const lists: [string, () => unknown][] = [
    ['list, operator, 100', () => registry.list(null, { limit: 100, after: referenceOf(middle) })],
    ['list, operator, 1000', () => registry.list(null, { limit: 1000 })],
    ['list, one tenant', () => registry.list(some().tenant)],
    ['search, a common word, 100', () => registry.search(null, { text: 'spam', limit: 100 })],
    [
      'search, the last version',
      () => registry.search(null, { text: last.task, limit: 100, after: referenceOf(middle) }),
    ],
    ['search, a word that is nowhere', () => registry.search(null, { text: 'nowhere' })],
    ['search by tag, 100', () => registry.search(null, { tag: 'reviewed', limit: 100 })],
    ['search by a tag that is nowhere', () => registry.search(null, { tag: 'nowhere' })],
    ['search, one tenant', () => registry.search(some().tenant, { text: 'spam' })],
    ['routes of one tenant', () => registry.routes(some().tenant)],
  ];
  for (const [what, work] of lists) add(what, '< 50 ms', repeat(NUM_LISTS, work));
}

/** From the start of the process to its line that it is ready; the base is packed beforehand, as at any start but the first. */
async function measureStart(): Promise<void> {
  let base = 'tiny';
  if (values.base === undefined) {
    base = folder.join('tiny');
    writeTinyBase(base);
  } else {
    base = values.base;
    const [from, to] = [join(readConfig().home, 'models'), join(config.home, 'models')];
    if (!existsSync(to)) symlinkSync(from, to);
  }
  const starts: number[] = [];
  for (let n = 0; n <= NUM_STARTS; n++) {
    const begunMs = systemClock.nowMs();
    const server = await startServe(['--base', base], { home: config.home, threads: 2 });
    const tookMs = systemClock.nowMs() - begunMs;
    await server[Symbol.asyncDispose]();
    if (n > 0) starts.push(tookMs);
  }
  add(`start of the server, ${values.base ?? 'a tiny base'}`, '< 2 s', starts);
}

function add(what: string, bar: string, durations: readonly number[]): void {
  rows.push({ what, bar, sorted: durations.toSorted((a, b) => a - b) });
}

function timed(work: () => unknown): number {
  const begunMs = systemClock.nowMs();
  work();
  return systemClock.nowMs() - begunMs;
}

async function timedAsync(work: () => Promise<unknown>): Promise<number> {
  const begunMs = systemClock.nowMs();
  await work();
  return systemClock.nowMs() - begunMs;
}

function seconds(sinceMs: number): string {
  return ((systemClock.nowMs() - sinceMs) / 1000).toFixed(1);
}

function report(): void {
  const at = (sorted: readonly number[], part: number): number => sorted[Math.ceil(part * sorted.length) - 1];
  const figures = rows.map(({ what, bar, sorted }) => ({
    what,
    bar,
    medianMs: at(sorted, 0.5),
    p99Ms: at(sorted, 0.99),
    worstMs: at(sorted, 1),
  }));
  if (values.json) {
    console.log(JSON.stringify({ numAdapters, numTenants, figures }));
    return;
  }
  const digits = (ms: number): string => ms.toFixed(ms < 10 ? 3 : 0);
  console.log('| what | bar | median, ms | p99, ms | worst, ms |');
  console.log('| ---- | --- | ---------- | ------- | --------- |');
  for (const { what, bar, medianMs, p99Ms, worstMs } of figures) {
    console.log(`| ${[what, bar, ...[medianMs, p99Ms, worstMs].map(digits)].join(' | ')} |`);
  }
}
