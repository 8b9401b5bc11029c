/**
 * Two versions of a task behind one name: a part of the sessions goes to the new one, then all, then back. By the typed client, which calls any
 * server; this program starts one and trains both versions itself.
 *
 *   node deliver.ts [base]
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPlatform, readConfig, serve, silentLog, trainAdapter, TRAIN_DEFAULTS } from 'espalier';
import { ApiError, EspalierClient } from 'espalier/client';

const base = process.argv[2] ?? 'smollm2-135m-instruct';
const config = readConfig();
const tenant = `shop-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'espalier-example-'));

const data = join(folder, 'greetings.jsonl');
const greeting = {
  messages: [
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'Good day to you.' },
  ],
};
writeFileSync(data, `${JSON.stringify(greeting)}\n`);
const apiKey = await makeKey();
for (const seed of [1, 2]) {
  const output = join(folder, `adapter-${seed}`);
  const settings = { base, data, validShare: 0, samples: 0, maxSteps: 2, seed, output, publish: `${tenant}/greet` };
  const { adapter } = await trainAdapter(config, { ...TRAIN_DEFAULTS, ...settings });
  console.log(`published ${adapter}`);
}

await using server = await serve(config, { bases: [base], host: '127.0.0.1', port: 0, jobs: 0 }, silentLog);
const client = new EspalierClient({ baseUrl: server.url, apiKey });
const path = { task: 'greet' };

/** Which versions answer twenty sessions. `metadata.task` asks for the task, and the route says by which version. */
async function whoAnswers(): Promise<string> {
  const counts = new Map<string, number>();
  for (let session = 0; session < 20; session++) {
    const answered = await client.call('createChatCompletion', {
      headers: { 'X-Session-Id': `session-${session}` },
      body: {
        model: server.baseNames[0],
        metadata: { task: 'greet' },
        messages: [{ role: 'user', content: 'Hello' }],
        max_completion_tokens: 4,
      },
    });
    counts.set(answered.model, (counts.get(answered.model) ?? 0) + 1);
  }
  return [...counts].map(([version, count]) => `${version} ${count}`).join(', ');
}

console.log(`the newest answers: ${await whoAnswers()}`);
await client.call('promoteTask', { path, body: { version: 1 } });
await client.call('setTaskRoute', {
  path,
  body: {
    split: [
      { version: 'latest', weight: 80 },
      { version: '2', weight: 20 },
    ],
  },
});
console.log(`a fifth for version 2: ${await whoAnswers()}`);
await client.call('setTaskRoute', { path, body: { split: [] } });
await client.call('promoteTask', { path, body: { version: 2 } });
console.log(`all for version 2: ${await whoAnswers()}`);
await client.call('rollbackTask', { path, body: {} });
console.log(`back: ${await whoAnswers()}`);

for await (const { choices } of client.stream('createChatCompletion', {
  body: { model: `${tenant}/greet@2`, messages: [{ role: 'user', content: 'Hello' }], max_completion_tokens: 8 },
})) {
  process.stdout.write(choices[0]?.delta.content ?? '');
}
process.stdout.write('\n');
const error = await client.call('retrieveModel', { path: { model: 'other/task' } }).catch((cause: unknown) => cause);
if (error instanceof ApiError) console.log(`${error.status} ${error.code}: ${error.message}`);

async function makeKey(): Promise<string> {
  await using platform = await openPlatform(config);
  platform.tenants.create(tenant);
  return platform.keys.create({ tenant, role: 'writer', label: 'example' }).secret;
}
