/** `espalier serve` with eight adapters of two tenants, asked by the official `openai` client: started before the tests of the file that imports this. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before } from 'node:test';
import OpenAI from 'openai';
import type { AdapterVersion } from '../../src/app/index.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { runJson, startServe, TemporaryFolder, type RunningServe } from '../support/processes.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';

export type ChatBody = OpenAI.ChatCompletionCreateParamsNonStreaming;

export const CONTEXT = 4096;
/** Four tasks each. */
export const TENANTS = ['acme', 'globex'];
export const TASKS = ['triage', 'reply', 'label', 'summary'];
const SHAPES = [
  { rank: 4, targets: ['q_proj', 'v_proj'] },
  { rank: 8, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
  { rank: 2, targets: 'all-linear' },
  { rank: 16, targets: ['gate_proj', 'down_proj'] },
] as const;

const folder = new TemporaryFolder();
export const home = folder.join('home');
export const versions = new Map<string, AdapterVersion>();
const clients = new Map<string, OpenAI>();
export let server: RunningServe;

before(async () => {
  writeTinyBase(folder.join('tiny'), { contextLength: CONTEXT });
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  const keys = new Map<string, string>();
  for (const tenant of TENANTS) {
    await runJson(['tenants', 'create', tenant], { home });
    const role = ['--role', 'writer'];
    keys.set(tenant, (await runJson<{ secret: string }>(['keys', 'create', tenant, ...role], { home })).secret);
  }
  const names = TENANTS.flatMap((tenant) => TASKS.map((task) => `${tenant}/${task}`));
  // All at once, as tenants would.
  const publishing = names.map((name, index) => {
    const directory = folder.join(`adapter-${index}`);
    writeRandomAdapter(directory, tinySites(), { ...SHAPES[index % SHAPES.length], seed: 10 + index });
    return runJson<AdapterVersion>(['adapters', 'publish', directory, name, '--base', 'tiny'], { home });
  });
  const published = await Promise.all(publishing);
  for (const [index, name] of names.entries()) versions.set(name, published[index]);
  await startServer(['--cache-tokens', '8192'], 2);
  for (const [tenant, apiKey] of keys) {
    clients.set(tenant, new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0 }));
  }
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

export function clientOf(tenant: string): OpenAI {
  const client = clients.get(tenant);
  assert.ok(client, tenant);
  return client;
}

export function ask(text: string, model: string, more: Partial<ChatBody> = {}): ChatBody {
  return { model, messages: [{ role: 'user', content: text }], temperature: 0, max_completion_tokens: 24, ...more };
}

export async function textOf(tenant: string, body: ChatBody): Promise<string> {
  const { choices } = await clientOf(tenant).chat.completions.create(body);
  assert.equal(choices.length, 1);
  const { content } = choices[0].message;
  assert.equal(typeof content, 'string');
  return content ?? '';
}

export async function metric(name: string, prefix = 'espalier_engine', labels = 'base="tiny"'): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${prefix}_${name}{${labels}} `));
  assert.ok(line, `${name} is in /metrics`);
  return Number(line.split(' ').at(-1));
}

/** Waits until the engine has nothing in flight, and every block of its cache is free. */
export async function untilIdle(): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const names = ['running_sequences', 'waiting_sequences', 'adapter_waiting_requests'];
    const [running, waiting, loading] = await Promise.all(names.map((name) => metric(name)));
    const taken = (await metric('cache_blocks')) - (await metric('cache_blocks_free'));
    if (running + waiting + loading === 0 && taken === 0) return;
    await sleep(50);
  }
  assert.fail('sequences or cache blocks are still held');
}

export async function refusal(tenant: string, body: ChatBody): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await clientOf(tenant).chat.completions.create(body);
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  return assert.fail('the request was answered');
}

/** Starts {@link server}, also anew when it has ended; it is stopped after the tests. */
export async function startServer(args: readonly string[], threads?: number): Promise<void> {
  server = await startServe(['--base', 'tiny', ...args], { home, ...(threads && { threads }) });
}
