/** Fine-tuning by the official client on a real server: files, uploads, a job from its creation to an answer, and what is refused. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { checkpointList, eventList, jobObject } from '../../../src/http/wire/fine-tuning.ts';
import { fileObject, uploadObject } from '../../../src/http/wire/files.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';
import { chatLines } from '../../support/tuning-data.ts';

type Job = OpenAI.FineTuning.FineTuningJob;
const FINAL = ['succeeded', 'failed', 'cancelled'];

let server: TinyServer;
let acme: OpenAI;
let globex: OpenAI;

before(async () => {
  server = await startTinyServer({
    adapters: {
      'acme/reply': { seed: 1, rank: 2, targets: ['q_proj'] },
      'globex/label': { seed: 3, rank: 2, targets: ['o_proj'] },
    },
  });
  const clientOf = (tenant: string): OpenAI =>
    new OpenAI({ apiKey: server.keyOf(tenant), baseURL: `${server.url}/v1`, maxRetries: 0 });
  acme = clientOf('acme');
  globex = clientOf('globex');
});
after(() => server?.[Symbol.asyncDispose]());

async function upload(client: OpenAI, text: string, name = 'train.jsonl'): Promise<OpenAI.FileObject> {
  return client.files.create({ file: await toFile(Buffer.from(text), name), purpose: 'fine-tune' });
}

/** However long it takes: the test runner's limit is the only one. */
async function until(client: OpenAI, id: string, isTrue: (job: Job) => boolean): Promise<Job> {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (isTrue(job)) return job;
    assert.ok(!FINAL.includes(job.status), `the job is ${job.status}: ${JSON.stringify(job.error)}`);
    await sleep(20);
  }
}

async function statusOf(promise: Promise<unknown>): Promise<[status: number, code: string, message: string]> {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return [error.status as number, String(error.code), error.message];
  }
  return assert.fail('it was answered');
}

test('a file is stored, listed, read and deleted, by its tenant alone', async () => {
  const text = chatLines(5);
  const file = await upload(acme, text, 'five.jsonl');
  fileObject.strict().parse(file);
  assert.match(file.id, /^file-/);
  assert.deepEqual(
    [file.bytes, file.filename, file.purpose, file.status],
    [Buffer.byteLength(text), 'five.jsonl', 'fine-tune', 'processed'],
  );
  assert.deepEqual(await acme.files.retrieve(file.id), file);
  assert.equal(await (await acme.files.content(file.id)).text(), text);
  for (const asked of [globex.files.retrieve(file.id), globex.files.content(file.id), globex.files.delete(file.id)]) {
    const [status, code] = await statusOf(asked);
    assert.deepEqual([status, code], [404, 'file_not_found']);
  }
  const others = await globex.files.list();
  assert.deepEqual(others.data, []);
  assert.deepEqual(await acme.files.delete(file.id), { id: file.id, object: 'file', deleted: true });
  assert.equal((await statusOf(acme.files.retrieve(file.id)))[0], 404);
});

test('equal files of two tenants are two files: deleting one leaves the other', async () => {
  const [mine, theirs] = await Promise.all([upload(acme, chatLines(6)), upload(globex, chatLines(6))]);
  await acme.files.delete(mine.id);
  assert.equal(await (await globex.files.content(theirs.id)).text(), chatLines(6));
  await globex.files.delete(theirs.id);
});

test('pages of files follow each other in both orders', async () => {
  const files = [];
  for (let n = 0; n < 5; n++) files.push((await upload(globex, chatLines(2, n), `${n}.jsonl`)).id);
  const ids = async (order: 'asc' | 'desc'): Promise<string[]> => {
    const found = [];
    for await (const file of globex.files.list({ order, limit: 2 })) found.push(file.id);
    return found;
  };
  assert.deepEqual(await ids('asc'), files);
  assert.deepEqual(await ids('desc'), files.toReversed());
  const first = await globex.files.list({ order: 'asc', limit: 2 });
  assert.deepEqual([first.data.length, first.has_more, first.hasNextPage()], [2, true, true]);
  for (const id of files) await globex.files.delete(id);
});

test('a file that cannot be trained on says which lines are wrong, and no job takes it', async () => {
  const file = await upload(
    acme,
    `${chatLines(2)}{"messages":[{"role":"bot","content":"x"}]}\nnot json\n`,
    'bad.jsonl',
  );
  assert.equal(file.status, 'error');
  assert.match(file.status_details ?? '', /^bad\.jsonl:3: .*bot.*\n?bad\.jsonl:4: /s);
  const [status, , message] = await statusOf(acme.fineTuning.jobs.create({ model: 'tiny', training_file: file.id }));
  assert.equal(status, 400);
  assert.match(message, /training_file .*cannot be trained on/);
});

test('what is no file is refused by name', async () => {
  const send = (form: FormData): Promise<Response> =>
    fetch(`${server.url}/v1/files`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${server.keyOf('acme')}` },
      body: form,
    });
  const form = (fields: Record<string, string>, file?: string): FormData => {
    const made = new FormData();
    // The purpose may come behind the file as well as before it.
    if (file !== undefined) made.append('file', new Blob([file]), 'x.jsonl');
    for (const [name, value] of Object.entries(fields)) made.append(name, value);
    return made;
  };
  const before = (await acme.files.list()).data.length;
  const cases: [FormData, number, RegExp][] = [
    [form({ purpose: 'fine-tune' }), 400, /file is missing/],
    [form({}, chatLines(1)), 400, /purpose is missing/],
    [form({ purpose: 'assistants' }, chatLines(1)), 400, /purpose must be "fine-tune"/],
    [form({ purpose: 'fine-tune', colour: 'red' }, chatLines(1)), 400, /colour is not a field/],
    [form({ purpose: 'fine-tune', 'expires_after[seconds]': '5' }, chatLines(1)), 400, /at least 3600/],
  ];
  for (const [body, status, message] of cases) {
    const response = await send(body);
    const { error } = (await response.json()) as { error: { message: string } };
    assert.equal(response.status, status, error.message);
    assert.match(error.message, message);
  }
  const noForm = await fetch(`${server.url}/v1/files`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${server.keyOf('acme')}`, 'Content-Type': 'application/json' },
    body: '{}',
  });
  assert.equal(noForm.status, 415);
  assert.equal((await acme.files.list()).data.length, before, 'nothing of them is kept');
  const expiring = await acme.files.create({
    file: await toFile(Buffer.from(chatLines(1)), 'x.jsonl'),
    purpose: 'fine-tune',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  });
  assert.equal(expiring.expires_at, expiring.created_at + 3600);
});

test('an upload in parts becomes a file, in the order of the parts', async () => {
  const text = chatLines(40);
  const [left, right] = [text.slice(0, 700), text.slice(700)];
  const begun = await acme.uploads.create({
    filename: 'parts.jsonl',
    purpose: 'fine-tune',
    bytes: Buffer.byteLength(text),
    mime_type: 'application/jsonl',
  });
  uploadObject.strict().parse(begun);
  const part = async (body: string): Promise<string> =>
    (await acme.uploads.parts.create(begun.id, { data: await toFile(Buffer.from(body), 'part') })).id;
  const [second, first] = [await part(right), await part(left)];
  assert.equal((await statusOf(globex.uploads.complete(begun.id, { part_ids: [first, second] })))[0], 404);
  assert.match((await statusOf(acme.uploads.complete(begun.id, { part_ids: [first] })))[2], /the parts have 700 bytes/);
  const wrong = acme.uploads.complete(begun.id, { part_ids: [first, second], md5: '0'.repeat(32) });
  assert.match((await statusOf(wrong))[2], /md5/);
  const md5 = createHash('md5').update(text).digest('hex');
  const done = await acme.uploads.complete(begun.id, { part_ids: [first, second], md5 });
  assert.deepEqual([done.status, done.file?.status], ['completed', 'processed']);
  assert.ok(done.file);
  assert.equal(await (await acme.files.content(done.file.id)).text(), text);
  assert.equal((await statusOf(acme.uploads.cancel(begun.id)))[0], 400, 'it is over');
  const other = await acme.uploads.create({ filename: 'x', purpose: 'fine-tune', bytes: 1, mime_type: 'text/plain' });
  assert.equal((await acme.uploads.cancel(other.id)).status, 'cancelled');
});

test('a job: validated, trained, its checkpoints and its model asked by name', { timeout: 300_000 }, async () => {
  const [training, validation] = await Promise.all([
    upload(acme, chatLines(48), 'train.jsonl'),
    upload(acme, chatLines(6, 100), 'valid.jsonl'),
  ]);
  const asked = {
    model: 'tiny',
    training_file: training.id,
    validation_file: validation.id,
    suffix: 'parity',
    seed: 7,
    metadata: { team: 'numbers' },
    method: {
      type: 'supervised' as const,
      supervised: { hyperparameters: { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 5 } },
    },
  };
  const created = await acme.fineTuning.jobs.create(asked);
  jobObject.strict().parse(created);
  assert.deepEqual(
    [created.status, created.fine_tuned_model, created.seed, created.metadata, created.training_file],
    ['validating_files', null, 7, { team: 'numbers' }, training.id],
  );
  // Its data may go: the job has its own hold on the bytes.
  await acme.files.delete(training.id);
  const done = await until(acme, created.id, ({ status }) => status === 'succeeded');
  const model = done.fine_tuned_model;
  assert.ok(model);
  assert.match(model, /^ft:tiny:acme:parity:\w+$/);
  assert.deepEqual(done.method, {
    type: 'supervised',
    supervised: { hyperparameters: { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 5 } },
  });
  assert.ok((done.trained_tokens ?? 0) > 0 && done.finished_at !== null && done.estimated_finish === null);

  const { data, response } = await acme.chat.completions
    .create({ model, messages: [{ role: 'user', content: 'what is 2?' }], max_completion_tokens: 4 })
    .withResponse();
  assert.equal(data.model, model);
  assert.equal(response.headers.get('x-adapter-digest'), data.system_fingerprint);

  const events = [];
  for await (const event of acme.fineTuning.jobs.listEvents(created.id, { limit: 7 })) events.push(event);
  eventList.shape.data.parse(events);
  const steps = events.flatMap((event) => (event.data as { step?: number } | null)?.step ?? []);
  const total = steps.length;
  assert.ok(total >= 24, `${total} steps`);
  assert.deepEqual(
    steps,
    Array.from({ length: total }, (_, n) => total - n),
    'each step once, the latest first',
  );
  const messages = events.filter(({ type }) => type === 'message').map(({ message }) => message);
  for (const message of ['Files validated', 'Fine-tuning job started', `Created fine-tuning job: ${created.id}`]) {
    assert.equal(messages.filter((one) => one.startsWith(message)).length, 1, message);
  }
  assert.equal(messages[0], 'The job has successfully completed.');

  const checkpoints = await acme.fineTuning.jobs.checkpoints.list(created.id);
  checkpointList.shape.data.parse(checkpoints.data);
  assert.equal(checkpoints.data.length, 3, 'the last three');
  assert.deepEqual(checkpoints.data[0].step_number, total);
  const name = checkpoints.data[1].fine_tuned_model_checkpoint;
  assert.equal(name, `${model}:ckpt-step-${checkpoints.data[1].step_number}`);
  const ask = (client: OpenAI, asked: string) =>
    client.chat.completions.create({
      model: asked,
      messages: [{ role: 'user', content: 'x' }],
      max_completion_tokens: 2,
    });
  assert.equal((await ask(acme, name)).model, name);
  for (const one of [model, name]) {
    assert.deepEqual((await statusOf(ask(globex, one))).slice(0, 2), [404, 'model_not_found']);
  }

  const [result] = done.result_files;
  const csv = (await (await acme.files.content(result)).text()).trimEnd().split('\n');
  assert.equal(csv[0], 'step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy');
  assert.equal(csv.length, total + 1);
  const last = csv[total].split(',').map(Number);
  assert.equal(last[0], total);
  assert.equal(last[3], checkpoints.data[0].metrics.full_valid_loss);
  assert.ok(last[1] < Number(csv[1].split(',')[1]), 'it has learned something');

  const ids = (await acme.models.list()).data.map(({ id }) => id);
  assert.ok(ids.includes(model) && ids.includes(name));
  assert.ok(!(await globex.models.list()).data.some(({ id }) => id.startsWith('ft:')));
  const found = await acme.get<{ data: Job[] }>('/fine_tuning/jobs?metadata[team]=numbers');
  assert.deepEqual(
    found.data.map(({ id }) => id),
    [created.id],
  );
  assert.deepEqual((await acme.get<{ data: Job[] }>('/fine_tuning/jobs?metadata[team]=letters')).data, []);
  assert.deepEqual(server.errors, []);
});

test('a job is paused, goes on from there, and is cancelled', { timeout: 300_000 }, async () => {
  const { id: training_file } = await upload(acme, chatLines(600));
  const { id } = await acme.fineTuning.jobs.create({
    model: 'tiny',
    training_file,
    // Long enough that it is still running whenever the test looks.
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 50, batch_size: 1 } } },
  });
  const stepsOf = async (): Promise<number> => {
    const { data } = await acme.fineTuning.jobs.listEvents(id, { limit: 100 });
    return Math.max(0, ...data.map((event) => (event.data as { step?: number } | null)?.step ?? 0));
  };
  await until(acme, id, ({ status }) => status === 'running');
  while ((await stepsOf()) < 3) await sleep(20);
  assert.equal((await acme.fineTuning.jobs.pause(id)).status, 'paused');
  assert.equal((await statusOf(acme.fineTuning.jobs.pause(id)))[0], 400, 'twice');
  assert.equal((await statusOf(globex.fineTuning.jobs.resume(id)))[0], 404);
  // It goes on when the run has been saved.
  assert.equal((await acme.fineTuning.jobs.resume(id)).status, 'queued');
  const pausedAt = await stepsOf();
  await until(acme, id, ({ status }) => status === 'running');
  while ((await stepsOf()) <= pausedAt) await sleep(20);
  const cancelled = await acme.fineTuning.jobs.cancel(id);
  assert.deepEqual([cancelled.status, cancelled.fine_tuned_model], ['cancelled', null]);
  assert.ok(cancelled.finished_at);
  assert.equal((await statusOf(acme.fineTuning.jobs.resume(id)))[0], 400);
  assert.equal((await acme.fineTuning.jobs.retrieve(id)).status, 'cancelled');
  const started = [];
  for await (const event of acme.fineTuning.jobs.listEvents(id, { limit: 100 })) {
    if (event.message === 'Fine-tuning job started.') started.push(event);
  }
  assert.equal(started.length, 2);
  assert.deepEqual(server.errors, []);
});

test('preferences are learned by a job of the method dpo, and the result answers', async () => {
  const answer = (content: string) => [{ role: 'assistant', content }];
  const lines = Array.from({ length: 12 }, (_, n) => ({
    input: { messages: [{ role: 'user', content: `is ${n} odd?` }] },
    preferred_completion: answer('one word'),
    non_preferred_completion: answer(`a long story about ${n}`),
  }));
  const pairs = await upload(acme, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), 'pairs.jsonl');
  const job = await acme.fineTuning.jobs.create({
    model: 'tiny',
    training_file: pairs.id,
    method: { type: 'dpo', dpo: { hyperparameters: { beta: 0.5, n_epochs: 2, batch_size: 4 } } },
  });
  const done = await until(acme, job.id, ({ status }) => status === 'succeeded');
  assert.deepEqual([done.method?.type, done.method?.dpo?.hyperparameters?.beta], ['dpo', 0.5]);
  const losses: number[] = [];
  for await (const { type, data } of acme.fineTuning.jobs.listEvents(job.id, { limit: 100 })) {
    if (type === 'metrics') losses.push((data as { train_loss: number }).train_loss);
  }
  // Before the first step the adapter is the reference: the loss of a pair is log 2, and it falls from there.
  assert.ok(
    losses.some((loss) => Math.abs(loss - Math.LN2) < 1e-3),
    `none of ${losses.join(', ')} is log 2`,
  );
  assert.ok(Math.min(...losses) < Math.LN2 - 1e-4, `${losses.join(', ')} did not fall`);
  const answered = await acme.chat.completions.create({
    model: done.fine_tuned_model ?? '',
    messages: [{ role: 'user', content: 'is 3 odd?' }],
    max_tokens: 3,
  });
  assert.equal(answered.model, done.fine_tuned_model);
});

test('what a job cannot be is refused by name', async () => {
  const { id: training_file } = await upload(acme, chatLines(3));
  const good = { model: 'tiny', training_file };
  const cases: [object, number, RegExp][] = [
    [{ ...good, model: 'gpt-4o' }, 404, /model must be tiny/],
    [{ ...good, training_file: 'file-none' }, 404, /no file "file-none"/],
    [{ ...good, validation_file: 'file-none' }, 404, /no file/],
    [{ ...good, method: { type: 'dpo' } }, 400, /has chat examples: dpo takes preference examples/],
    [{ ...good, method: { type: 'reinforcement' } }, 400, /method.type must be one of supervised\|dpo/],
    [{ ...good, suffix: 'No Spaces' }, 400, /suffix must be/],
    [{ ...good, seed: -1 }, 400, /seed must be/],
    [{ ...good, integrations: [{ type: 'wandb', wandb: { project: 'x' } }] }, 400, /integrations is not supported/],
    [{ ...good, colour: 'red' }, 400, /colour is not a field/],
    [{ ...good, hyperparameters: { n_epochs: 51 } }, 400, /n_epochs/],
    [{ ...good, hyperparameters: {}, method: { type: 'supervised' } }, 400, /older form of method/],
  ];
  for (const [body, status, message] of cases) {
    const [found, , text] = await statusOf(acme.post('/fine_tuning/jobs', { body }));
    assert.equal(found, status, text);
    assert.match(text, message);
  }
  const tooLong = await upload(acme, `${JSON.stringify({ prompt: 'x '.repeat(2000), completion: 'y' })}\n`);
  const { id } = await acme.fineTuning.jobs.create({ model: 'tiny', training_file: tooLong.id });
  let job = await acme.fineTuning.jobs.retrieve(id);
  for (; !FINAL.includes(job.status); job = await acme.fineTuning.jobs.retrieve(id)) await sleep(20);
  assert.deepEqual(
    [job.status, job.error?.code, job.error?.param],
    ['failed', 'invalid_training_file', 'training_file'],
  );
  assert.match(job.error?.message ?? '', /the base takes at most 512/);
});
