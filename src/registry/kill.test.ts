import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EspalierError, Rng, systemClock } from '../base/index.ts';
import { BlobStore, Database } from '../storage/index.ts';
import { referenceOf } from './adapter-version.ts';
import { Registry } from './registry.ts';
import { ROUTING_MIGRATIONS } from './splits.ts';
import { REGISTRY_MIGRATIONS } from './tables.ts';

/** This file is also the program that the test kills: `kill.test.ts publish HOME SEED`. */
const PUBLISH = 'publish';
const NUM_ROUNDS = 15;
const MAX_PUBLISHING_MS = 60;
/** About the time in which a publisher starts, opens the database and publishes for the first time. */
const MAX_STARTING_MS = 600;
/** A file that every version has, and every publish writes again. */
const SHARED = Buffer.alloc(2 * 1024 * 1024, 'shared');

async function open(home: string): Promise<{ database: Database; registry: Registry }> {
  const database = Database.open(join(home, 'espalier.db'), [REGISTRY_MIGRATIONS, ROUTING_MIGRATIONS], systemClock);
  return { database, registry: await Registry.open(database, home, systemClock) };
}

/** Publishes new content as fast as it can, and prints the reference of each version when it is published. */
async function publishForever(home: string, seed: number): Promise<never> {
  const { registry } = await open(home);
  const rng = Rng.fromSeed(seed);
  const folder = join(home, `artefact-${seed}`);
  await mkdir(folder, { recursive: true });
  for (;;) {
    const content = Buffer.alloc(64 * 1024, String(rng.nextUint32()));
    await writeFile(join(folder, 'adapter_config.json'), '{}');
    await writeFile(join(folder, 'tokenizer.json'), SHARED);
    await writeFile(join(folder, 'adapter_model.safetensors'), content);
    const { version } = await registry.publish('acme', 'spam', folder, {
      base: { name: 'tiny', digest: `sha256:${'1'.repeat(64)}` },
      method: 'lora',
      rank: 8,
      parameters: 1,
    });
    process.stdout.write(`${referenceOf(version)}\n`);
    if (version.version % 3 === 0) await unlessRemoved(registry.materialise(version));
    if (version.version % 4 === 0) await unlessRemoved(registry.remove('acme', `acme/spam@${version.version - 3}`));
  }
}

/** The other publisher may have removed the version meanwhile. */
async function unlessRemoved(done: Promise<unknown>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!(error instanceof EspalierError && error.code === 'ADAPTER_NOT_FOUND')) throw error;
  }
}

interface Publisher {
  readonly child: ChildProcess;
  /** The signal that ended it; null when it ended by itself. */
  readonly ended: Promise<NodeJS.Signals | null>;
}

function startPublisher(home: string, seed: number, acknowledged: string[]): Publisher {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), PUBLISH, home, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.ok(child.stdout);
  createInterface(child.stdout).on('line', (line) => acknowledged.push(line));
  const ended = once(child, 'close').then(([, signal]) => signal as NodeJS.Signals | null);
  return { child, ended };
}

if (process.argv[2] === PUBLISH) {
  await publishForever(String(process.argv[3]), Number(process.argv[4]));
} else {
  test('publishers killed at random moments leave whole versions only, and lose none that was acknowledged', async () => {
    const home = await mkdtemp(join(tmpdir(), 'espalier-kill-'));
    const rng = Rng.fromSeed(1);
    const acknowledged: string[] = [];
    for (let round = 0; round < NUM_ROUNDS; round++) {
      const publishers = [0, 1].map((n) => startPublisher(home, round * 2 + n, acknowledged));
      const isPublishing = round % 2 === 0;
      try {
        if (isPublishing) {
          const begun = publishers.map(({ child }) => once(child.stdout as NodeJS.ReadableStream, 'data'));
          // One that ends by itself never begins: the round goes on, and fails below.
          await Promise.all(begun.map((first, n) => Promise.race([first, publishers[n].ended])));
        }
        for (const { child, ended } of publishers) {
          await sleep(rng.nextFloat() * (isPublishing ? MAX_PUBLISHING_MS : MAX_STARTING_MS));
          child.kill('SIGKILL');
          assert.equal(await ended, 'SIGKILL', 'a publisher ends only when it is killed');
        }
      } finally {
        for (const { child } of publishers) child.kill('SIGKILL');
      }
    }

    const { database, registry } = await open(home);
    assert.deepEqual(await registry.verify(), []);
    const blobs = await BlobStore.open(join(home, 'blobs'), systemClock);
    for (const digest of await blobs.list()) assert.equal(await blobs.verify(digest), 'whole', digest);
    const versions = registry.list(null);
    assert.ok(acknowledged.length >= NUM_ROUNDS, `${acknowledged.length} publishes were acknowledged`);
    const listed = new Set(versions.map(referenceOf));
    for (const reference of acknowledged) {
      const number = Number(reference.split('@')[1]);
      // The publishers themselves remove versions 1, 5, 9…
      if (number % 4 !== 1) assert.ok(listed.has(reference), `${reference} is there`);
    }
    for (const version of versions) {
      const folder = await registry.materialise(version);
      assert.deepEqual(await readdir(folder), ['adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json']);
    }
    await registry.sweep();
    assert.deepEqual(await registry.verify(), []);
    const temporaries = [...(await readdir(join(home, 'blobs'))), ...(await readdir(join(home, 'adapters')))];
    assert.deepEqual(
      temporaries.filter((name) => name.startsWith('.tmp')),
      [],
      'opening swept what the dead had begun',
    );
    database.close();
    await rm(home, { recursive: true });
  });
}
