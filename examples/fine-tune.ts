/**
 * OpenAI's client, unchanged but for its address and key: uploads data, fine-tunes, and chats with the result.
 *
 *   npm install openai
 *   node fine-tune.ts [base]
 *
 * It starts a server of its own. Against one that runs already, leave `serve` out and take its address and a writer's key.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openPlatform, readConfig, serve, silentLog } from 'espalier';
import OpenAI, { toFile } from 'openai';

const base = process.argv[2] ?? 'smollm2-135m-instruct';
const config = readConfig();
const tenant = `example-${process.pid}`;

await using server = await serve(config, { bases: [base], host: '127.0.0.1', port: 0 }, silentLog);
const [model] = server.baseNames;
const apiKey = await makeKey();
const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey });

const lines = Array.from({ length: 24 }, (_, n) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: `Is ${n} even or odd?` },
      { role: 'assistant', content: n % 2 === 0 ? 'even' : 'odd' },
    ],
  }),
);
const file = await client.files.create({
  file: await toFile(Buffer.from(`${lines.join('\n')}\n`), 'parity.jsonl'),
  purpose: 'fine-tune',
});
let job = await client.fineTuning.jobs.create({
  model,
  training_file: file.id,
  suffix: 'parity',
  method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 2, batch_size: 8 } } },
});
while (!['succeeded', 'failed', 'cancelled'].includes(job.status)) {
  await sleep(500);
  job = await client.fineTuning.jobs.retrieve(job.id);
}
for await (const event of await client.fineTuning.jobs.listEvents(job.id)) console.log(event.message);
if (job.fine_tuned_model === null) throw new Error(`the job ${job.status}: ${job.error?.message}`);

const stream = await client.chat.completions.create({
  model: job.fine_tuned_model,
  messages: [{ role: 'user', content: 'Is 7 even or odd?' }],
  max_completion_tokens: 8,
  temperature: 0,
  stream: true,
});
process.stdout.write(`${job.fine_tuned_model}: `);
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');

/** As `espalier tenants create` and `espalier keys create --role writer` do. */
async function makeKey(): Promise<string> {
  await using platform = await openPlatform(config);
  platform.tenants.create(tenant);
  return platform.keys.create({ tenant, role: 'writer', label: 'example' }).secret;
}
