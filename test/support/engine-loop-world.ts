/** The engine's loop without its thread: steps happen, and loads end, when a test says so. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { EngineLoop } from '../../src/serving/engine-loop.ts';
import { DEFAULT_ENGINE, Engine } from '../../src/serving/engine.ts';
import type { AdapterSource, EngineStats, FromWorker } from '../../src/serving/messages.ts';
import { GREEDY, type GenerateRequest } from '../../src/serving/request.ts';
import { AdapterResidency } from '../../src/serving/residency/residency.ts';
import { WorkerGrammars } from '../../src/serving/worker-grammars.ts';
import { GatedLoader, TestClock } from './gated-loader.ts';
import { writeTinyBase } from './tiny-base.ts';

const folder = mkdtempSync(join(tmpdir(), 'engine-loop-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const base = loadBase(folder, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');
export const SIZE = 1_000;

/** Of the test that runs. */
export let loader: GatedLoader;
export let loop: EngineLoop;
let scheduled: (() => void)[];
/** What the loop has sent. */
export let sent: FromWorker[];
let token = 0;

/** A loop of its own, for what comes. */
export function start(
  maxSequences = 8,
  readyBytes = 3 * SIZE,
  maxWaiting = 10,
  grammars: Pick<WorkerGrammars, 'compile' | 'cancel'> = new WorkerGrammars(null),
): void {
  loader = new GatedLoader(() => ({ sizeBytes: SIZE, fileBytes: 8 }));
  [scheduled, sent] = [[], []];
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxSequences, cacheTokens: 2_048 });
  const residency = new AdapterResidency(loader, new TestClock(), { readyBytes, hostBytes: 0 });
  const schedule = (step: () => void): unknown => scheduled.push(step);
  loop = new EngineLoop(engine, residency, {
    send: (message) => sent.push(message),
    schedule,
    limits: { maxWaiting, maxWaitingPerTenant: maxWaiting },
    grammars,
  });
}

export function submit(id: string, adapter: string | null, maxTokens = 4, tenant = 'acme'): void {
  const request: GenerateRequest = {
    id,
    tenant,
    promptTokenIds: Int32Array.of(5, 6, 7),
    adapter,
    maxTokens,
    stopTokenIds: [],
    sampling: GREEDY,
  };
  const source: AdapterSource | null =
    adapter === null ? null : { digest: adapter, directory: '/x', tenant, sizeBytes: SIZE };
  loop.receive({ type: 'submit', request, adapter: source });
}

/** A request for the sum of some adapters. */
export function submitMix(id: string, digests: readonly string[], maxTokens = 4, tenant = 'acme'): void {
  const request: GenerateRequest = {
    id,
    tenant,
    promptTokenIds: Int32Array.of(5, 6, 7),
    adapter: digests.join('+'),
    maxTokens,
    stopTokenIds: [],
    sampling: GREEDY,
  };
  const parts = digests.map((digest) => ({
    source: { digest, directory: '/x', tenant, sizeBytes: SIZE },
    weight: 1,
  }));
  loop.receive({ type: 'submit', request, adapter: { digest: digests.join('+'), parts } });
}

export function ask<T>(question: Parameters<EngineLoop['receive']>[0] & { type: 'ask' }): T {
  loop.receive(question);
  const answer = sent.findLast((message) => message.type === 'answer' && message.token === question.token);
  assert.ok(answer?.type === 'answer');
  return answer.answer as T;
}
export const stats = (): EngineStats => ask({ type: 'ask', token: token++, question: { type: 'stats' } });

/** Runs what is scheduled. @returns whether there was anything */
export function step(): boolean {
  const due = scheduled;
  scheduled = [];
  for (const run of due) run();
  return due.length > 0;
}

/** Ends each load and runs each step that there is, until nothing waits and nothing runs. */
export async function untilAllHaveEnded(): Promise<void> {
  for (let guard = 0; stats().numWaitingForAdapter > 0 || step(); guard++) {
    assert.ok(guard < 100, 'every request comes to its end');
    for (const digest of loader.running) await loader.finish(digest);
    step();
  }
}

/** Tokens that a request has got, and how it ended. */
export function outcomeOf(id: string): { numTokens: number; end: string | null } {
  const outcome = { numTokens: 0, end: null as string | null };
  for (const message of sent) {
    if (message.type === 'failed' && message.id === id) outcome.end = message.error.code;
    if (message.type !== 'tokens') continue;
    for (const event of message.events) {
      if (event.id !== id) continue;
      assert.equal(outcome.end, null, 'nothing follows an end');
      outcome.numTokens += event.tokenIds.length;
      outcome.end = event.finishReason;
    }
  }
  return outcome;
}
