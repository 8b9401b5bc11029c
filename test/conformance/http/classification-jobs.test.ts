/** Jobs of the method classification by the official client: from labelled lines to labels, and what is refused. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { EspalierClient } from '../../../src/client/index.ts';
import { jobObject } from '../../../src/http/wire/fine-tuning.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';
import { chatLines } from '../../support/tuning-data.ts';

let server: TinyServer;
let acme: OpenAI;
let ours: EspalierClient;

before(async () => {
  server = await startTinyServer({ adapters: { 'acme/reply': { seed: 1, rank: 2, targets: ['q_proj'] } } });
  const [apiKey, baseUrl] = [server.keyOf('acme'), server.url];
  acme = new OpenAI({ apiKey, baseURL: `${baseUrl}/v1`, maxRetries: 0 });
  ours = new EspalierClient({ apiKey, baseUrl });
});
after(() => server?.[Symbol.asyncDispose]());

/** Whose label the last word says. */
const lines = (count: number, labels: readonly string[], first = 0): string =>
  Array.from({ length: count }, (_, n) => {
    const label = labels[n % labels.length];
    return `${JSON.stringify({ text: `${first + n} of the wall: ${label}`, label: `is ${label}` })}\n`;
  }).join('');

async function upload(text: string): Promise<string> {
  const file = await toFile(Buffer.from(text), 'labelled.jsonl');
  return (await acme.files.create({ file, purpose: 'fine-tune' })).id;
}

/** A body that the official client's types do not know. */
async function create(body: object): Promise<OpenAI.FineTuning.FineTuningJob> {
  return acme.post('/fine_tuning/jobs', { body: { model: 'tiny', ...body } });
}

async function ended(id: string): Promise<OpenAI.FineTuning.FineTuningJob> {
  for (;;) {
    const job = await acme.fineTuning.jobs.retrieve(id);
    if (['succeeded', 'failed', 'cancelled'].includes(job.status)) return job;
    await sleep(20);
  }
}

test('labelled lines become a model that labels, by a method of one’s choice, beside a job that learns answers', async () => {
  const [training_file, validation_file] = await Promise.all([
    upload(lines(40, ['pear', 'plum'])),
    upload(lines(6, ['plum', 'pear'], 100)),
  ]);
  const checked = await ours.call('checkData', {
    body: { file: training_file, model: 'tiny', method: { type: 'classification' }, peft: { method: 'ia3' } },
  });
  assert.deepEqual(checked.data?.labels, [
    { label: 'is pear', examples: 20 },
    { label: 'is plum', examples: 20 },
  ]);
  const hyperparameters = { n_epochs: 6, batch_size: 8, learning_rate_multiplier: 20 };
  const method = { type: 'classification', classification: { hyperparameters } };
  const asked = { training_file, validation_file, method, peft: { method: 'ia3' }, seed: 7 };
  const [{ id }, chats] = await Promise.all([
    create(asked),
    create({ training_file: await upload(chatLines(20)), seed: 7 }),
  ]);
  const job = await ended(id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.equal((await ended(chats.id)).status, 'succeeded');
  jobObject.strict().parse(job);
  const { type, classification } = job.method as unknown as {
    type: string;
    classification: { hyperparameters: object };
  };
  assert.deepEqual([type, classification.hyperparameters], ['classification', hyperparameters]);
  const { data } = await acme.fineTuning.jobs.checkpoints.list(id);
  assert.ok((data[0].metrics.full_valid_mean_token_accuracy ?? 0) >= 0.5);

  const model = job.fine_tuned_model ?? '';
  const input = ['7 of the wall: pear', '8 of the wall: plum'];
  const found = await ours.call('createClassification', { body: { model, input } });
  assert.deepEqual(
    found.data.map(({ label }) => label),
    ['is pear', 'is plum'],
  );
  await assert.rejects(acme.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }] }), {
    status: 400,
  });
});

test('what does not go together is refused, and a held-out label that was never taught fails the job by its line', async () => {
  const method = { type: 'classification' };
  const labelled = await upload(lines(8, ['pear', 'plum']));
  for (const [body, param, message] of [
    [{ training_file: await upload(chatLines(3)), method }, 'training_file', /classification takes labelled examples/],
    [{ training_file: labelled }, 'training_file', /supervised takes chat or completion examples/],
    [
      { training_file: labelled, method, peft: { method: 'prefix-tuning' } },
      'peft.method',
      /no head beside prefix-tuning/,
    ],
  ] as const) {
    await assert.rejects(create(body), (error) => {
      assert.ok(error instanceof OpenAI.APIError);
      assert.deepEqual([error.status, error.param], [400, param]);
      assert.match(error.message, message);
      return true;
    });
  }
  const validation_file = await upload(lines(4, ['pear', 'quince']));
  const { id } = await create({ training_file: labelled, validation_file, method });
  const { status, error } = await ended(id);
  assert.deepEqual([status, error?.param], ['failed', 'validation_file']);
  assert.match(error?.message ?? '', /line 2: label "is quince" is none of "is pear", "is plum"/);
});
