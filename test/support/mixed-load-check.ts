/** Whether what clients were told under {@link MixedLoad} is what is there: nothing lost, nothing done twice, no file damaged. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type OpenAI from 'openai';
import { openPlatform } from '../../src/app/index.ts';
import { CALM, PROMOTED_ALIAS, sha256, TASK, TENANTS, type MixedLoad } from './mixed-load.ts';

/** Waits for every job, stops the server, and reads everything. @throws AssertionError names what is wrong */
export async function checkMixedLoad(load: MixedLoad): Promise<void> {
  const expected = await load.finish(outcomeOf);
  for (const tenant of TENANTS) await checkJobs(load, tenant, expected);
  await load.stopServer();
  assert.deepEqual(load.violations, []);
  for (const attempts of [load.publishes, load.promotions, load.jobs]) {
    assert.ok(
      attempts.some(({ answer }) => answer !== undefined),
      'something of each kind was done',
    );
  }
  assert.ok(load.numAnswered > 0);
  await checkStored(load);
}

/** The part that needs no server. */
export async function checkStored(load: MixedLoad): Promise<void> {
  await checkRegistry(load);
  checkDatabase(load);
  await checkCanaries(load);
}

/** What a job has come to, without the names that are its own; told once each, as it must be. */
async function outcomeOf(client: OpenAI, id: string): Promise<unknown> {
  const { jobs } = client.fineTuning;
  let job = await jobs.retrieve(id);
  for (; job.finished_at === null; job = await jobs.retrieve(id)) await sleep(50);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  const messages: string[] = [];
  const steps: number[] = [];
  for await (const { type, message, data } of jobs.listEvents(id, { limit: 1000 })) {
    if (type === 'metrics') steps.push((data as { step: number }).step);
    else messages.push(message);
  }
  for (const message of ['Files validated, moving job to queued state.', 'The job has successfully completed.']) {
    assert.equal(messages.filter((one) => one === message).length, 1, `${id}: ${message}`);
  }
  assert.deepEqual(
    steps,
    steps.map((_, n) => steps.length - n),
    `${id}: every step is told once`,
  );
  assert.equal(job.result_files.length, 1);
  const csv = await (await client.files.content(job.result_files[0])).text();
  const messagesOf = [{ role: 'user' as const, content: 'what is 3?' }];
  const model = job.fine_tuned_model ?? assert.fail(id);
  const answer = await client.chat.completions.create({ model, messages: messagesOf, max_completion_tokens: 2 });
  return { csv, tokens: job.trained_tokens, digest: answer.system_fingerprint, numSteps: steps.length };
}

async function checkJobs(load: MixedLoad, tenant: string, expected: Map<number, unknown>): Promise<void> {
  const client = load.clientOf(tenant);
  const attempts = load.jobs.filter((job) => job.tenant === tenant);
  const found = new Map<number, string>();
  for await (const { id, metadata } of client.fineTuning.jobs.list({ limit: 100 })) {
    const number = Number(metadata?.['number']);
    assert.ok(!found.has(number), `${tenant}: the job of attempt ${number} was made twice`);
    found.set(number, id);
  }
  for (const { number, answer } of attempts) {
    if (answer !== undefined)
      assert.equal(found.get(number), answer, `${tenant}: a job that was acknowledged is there`);
  }
  for (const [number, id] of found) {
    const attempt = attempts.find((one) => one.number === number) ?? assert.fail(`nobody asked for ${id}`);
    assert.deepEqual(await outcomeOf(client, id), expected.get(attempt.seed), `${tenant}: job ${id}`);
  }
}

async function checkRegistry(load: MixedLoad): Promise<void> {
  await using platform = await openPlatform(load.config);
  const { registry } = platform;
  assert.deepEqual(await registry.verify(), []);
  for (const tenant of TENANTS) {
    const versions = registry.list(tenant, { prefix: TASK }).filter(({ task }) => task === TASK);
    assert.deepEqual(
      versions.map(({ version }) => version),
      versions.map((_, n) => n + 1),
      `${tenant}: numbers without gaps`,
    );
    assert.equal(new Set(versions.map(({ digest }) => digest)).size, versions.length, `${tenant}: nothing twice`);
    const attempts = load.publishes.filter((one) => one.tenant === tenant);
    assert.ok(versions.length <= attempts.length);
    for (const { answer } of attempts) {
      if (answer)
        assert.deepEqual(registry.resolve(tenant, `${tenant}/${TASK}@${answer.version}`).digest, answer.digest);
    }
    checkPromotions(
      load,
      tenant,
      registry.history(tenant, TASK, PROMOTED_ALIAS).map(({ version }) => version),
    );
  }
  // What servers read: whole folders, or none.
  for (const tenant of [...TENANTS, CALM]) {
    for (const version of registry.list(tenant)) {
      const folder = join(load.home, 'adapters', version.digest.slice('sha256:'.length));
      if (!existsSync(folder)) continue;
      assert.deepEqual(readdirSync(folder).toSorted(), version.files.map(({ name }) => name).toSorted());
      for (const { name, digest } of version.files) assert.equal(sha256(readFileSync(join(folder, name))), digest);
    }
  }
  await registry.sweep();
  assert.equal(await registry.sweep(), 0);
}

/**
 * The alias moved as it was asked: its history is the attempts in their order, where each that was acknowledged is there, others may be, and
 * one to where it already points leaves no trace.
 */
function checkPromotions(load: MixedLoad, tenant: string, history: readonly number[]): void {
  const attempts = load.promotions.filter((one) => one.tenant === tenant);
  // Where the history can be after each attempt: an attempt whose answer was lost may have been done or not.
  let reachable = new Set([0]);
  for (const { version, answer } of attempts) {
    const next = new Set<number>();
    for (const at of reachable) {
      if (answer === undefined) next.add(at);
      if (history[at - 1] === version) next.add(at);
      else if (history[at] === version) next.add(at + 1);
    }
    reachable = next;
  }
  assert.ok(reachable.has(history.length), `${tenant}: ${history.join(' ')} is what was asked and acknowledged`);
}

function checkDatabase({ home }: MixedLoad): void {
  const database = new DatabaseSync(join(home, 'espalier.db'));
  assert.deepEqual(
    database
      .prepare('PRAGMA integrity_check')
      .all()
      .map((row) => ({ ...row })),
    [{ integrity_check: 'ok' }],
  );
  assert.deepEqual(database.prepare('PRAGMA foreign_key_check').all(), []);
  database.close();
  assert.deepEqual(
    existsSync(join(home, 'jobs')) ? readdirSync(join(home, 'jobs')).filter((name) => !name.startsWith('ftjob-')) : [],
    [],
  );
}

async function checkCanaries(load: MixedLoad): Promise<void> {
  await using platform = await openPlatform(load.config);
  let numCounted = 0;
  for (const tenant of TENANTS) {
    const report = platform.delivery.canaries.report(tenant, TASK);
    assert.ok(report);
    numCounted += report.counts.canary.requests + report.counts.stable.requests;
  }
  assert.ok(numCounted <= load.numRouted, `${numCounted} requests were counted, ${load.numRouted} were sent`);
}

/** The figures of a run, for people. */
export function describeLoad(load: MixedLoad): string {
  const acknowledged = (attempts: readonly { readonly answer: unknown }[]): string =>
    `${attempts.filter(({ answer }) => answer !== undefined).length} of ${attempts.length}`;
  return [
    `kills: ${[...load.kills].map(([victim, count]) => `${victim} ${count}`).join(', ')}`,
    `chats answered ${load.numAnswered}, refused or broken off ${load.numRefused}`,
    `acknowledged: publishes ${acknowledged(load.publishes)}, promotions ${acknowledged(load.promotions)}, jobs ${acknowledged(load.jobs)}`,
  ].join('\n');
}
