/** The method and the rank of a job, which OpenAI has no field for: asked, estimated, trained, kept with the result, and refused by name. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { z } from 'zod';
import { dataCheck } from '../../../src/http/wire/data-check.ts';
import { jobObject } from '../../../src/http/wire/fine-tuning.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';
import { chatLines } from '../../support/tuning-data.ts';

let server: TinyServer;
let client: OpenAI;
let file: string;

before(async () => {
  server = await startTinyServer({ adapters: { 'acme/reply': { seed: 1, rank: 2, targets: ['q_proj'] } } });
  client = new OpenAI({ apiKey: server.keyOf('acme'), baseURL: `${server.url}/v1`, maxRetries: 0 });
  const uploaded = await client.files.create({
    file: await toFile(Buffer.from(chatLines(12)), 'train.jsonl'),
    purpose: 'fine-tune',
  });
  file = uploaded.id;
});
after(() => server?.[Symbol.asyncDispose]());

const errorOf = z.object({ error: z.object({ message: z.string(), param: z.string().nullable() }) });

async function ask(path: string, body: object): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${server.keyOf('acme')}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: await response.json() };
}

async function create(suffix: string, peft?: object) {
  const { status, answer } = await ask('/v1/fine_tuning/jobs', {
    model: 'tiny',
    training_file: file,
    suffix,
    seed: 1,
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 1, batch_size: 4 } } },
    ...(peft && { peft }),
  });
  assert.equal(status, 200, JSON.stringify(answer));
  return jobObject.strict().parse(answer);
}

/** The version that a job has made, and what the official client hears of it. */
async function trained(id: string) {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    assert.notEqual(job.status, 'failed', JSON.stringify(job.error));
    if (job.status === 'succeeded') break;
    await sleep(20);
  }
  const { fine_tuned_model: model } = await client.fineTuning.jobs.retrieve(id);
  assert.ok(model);
  const messages = [{ role: 'user' as const, content: 'what is 2?' }];
  const answer = await client.chat.completions.create({ model, messages, max_completion_tokens: 2 });
  assert.equal(answer.model, model);
  const reference = server.platform.jobs.findModel('acme', model)?.reference;
  return server.platform.registry.resolve('acme', reference ?? '');
}

test('jobs of several methods are trained, answer, and keep how they were made', { timeout: 300_000 }, async () => {
  const asked = [
    ['plain', undefined, 'lora', 8],
    ['dora', { method: 'dora', rank: 4, target_modules: 'attention-qv', learning_rate: 0.002 }, 'dora', 4],
    ['named', { rank: 2, target_modules: ['q_proj', 'down_proj'] }, 'lora', 2],
    ['ia3', { method: 'ia3' }, 'ia3', null],
    ['qlora', { method: 'qlora', rank: 4 }, 'lora', 4],
    ['prefix', { method: 'prefix-tuning' }, 'prefix-tuning', null],
  ] as const;
  const jobs = [];
  for (const [suffix, peft] of asked) jobs.push(await create(suffix, peft));
  assert.deepEqual(
    jobs.map(({ peft }) => peft),
    [
      { method: 'lora', rank: 8, target_modules: 'attention', learning_rate: null },
      { method: 'dora', rank: 4, target_modules: 'attention-qv', learning_rate: 0.002 },
      { method: 'lora', rank: 2, target_modules: ['q_proj', 'down_proj'], learning_rate: null },
      { method: 'ia3', rank: null, target_modules: ['k_proj', 'v_proj', 'down_proj'], learning_rate: null },
      { method: 'qlora', rank: 4, target_modules: 'attention', learning_rate: null },
      { method: 'prefix-tuning', rank: null, target_modules: null, learning_rate: null },
    ],
  );
  for (const [index, [suffix, , method, rank]] of asked.entries()) {
    const version = await trained(jobs[index].id);
    assert.deepEqual([version.task, version.method, version.rank], [suffix, method, rank]);
    const { peft, config } = version.provenance as Record<string, Record<string, unknown>>;
    assert.equal(peft['method'], jobs[index].peft.method);
    assert.equal(config['method'], jobs[index].peft.method);
    assert.equal(config['baseFormat'], suffix === 'qlora' ? 'nf4' : 'bf16');
    if (suffix === 'dora') assert.equal(config['learningRate'], 0.002);
  }
  assert.deepEqual(server.errors, []);
});

test('settings that the method has not, or that fit nothing, are refused by name and nothing is queued', async () => {
  const before = await client.fineTuning.jobs.list();
  const cases: readonly (readonly [object, string, RegExp])[] = [
    [{ method: 'ia3', rank: 4 }, 'peft.rank', /no setting of ia3/],
    [{ method: 'full' }, 'peft.method', /must be/],
    [{ rank: 0 }, 'peft.rank', /at least 1/],
    [{ rank: 257 }, 'peft.rank', /256/],
    [{ alpha: 3 }, 'peft.alpha', /not a field/],
    [{ target_modules: ['lm_head'] }, 'peft.target_modules', /which jobs do not train/],
    [{ target_modules: ['nowhere'] }, 'peft.target_modules', /matches no module/],
    [{ target_modules: ['/(a+)+$/'] }, 'peft.target_modules', /name of a module|must be/],
    [{ learning_rate: 0 }, 'peft.learning_rate', /learning_rate must be/],
  ];
  for (const [peft, param, message] of cases) {
    for (const [path, body] of [
      ['/v1/fine_tuning/jobs', { model: 'tiny', training_file: file, peft }],
      ['/api/data/check', { model: 'tiny', file, peft }],
    ] as const) {
      const { status, answer } = await ask(path, body);
      assert.equal(status, 400, JSON.stringify([peft, answer]));
      const { error } = errorOf.parse(answer);
      assert.match(error.message, message);
      assert.ok(error.param?.startsWith(param), `${error.param} for ${param}`);
    }
  }
  assert.equal((await client.fineTuning.jobs.list()).data.length, before.data.length);
});

test('the estimate follows method and rank, and goes by a calibrated machine', async () => {
  const estimate = async (peft?: object) => {
    const { answer } = await ask('/api/data/check', { model: 'tiny', file, ...(peft && { peft }) });
    const { estimate: found } = dataCheck.parse(answer);
    assert.ok(found);
    return found;
  };
  const [plain, wide, dora] = [await estimate(), await estimate({ rank: 16 }), await estimate({ method: 'dora' })];
  assert.equal(wide.trainable_parameters, 2 * plain.trainable_parameters);
  assert.ok(dora.trainable_parameters > plain.trainable_parameters);
  assert.deepEqual([plain.peft.method, dora.peft.method, plain.calibrated], ['lora', 'dora', false]);
  const path = join(server.config.home, 'machine.json');
  const machine = {
    version: 1,
    measuredAt: '2026-11-30T00:00:00.000Z',
    instructionSet: 'avx2',
    threads: 2,
    base: 'tiny',
    processBytes: 2 ** 27,
    bufferFactor: 1,
    formats: { bf16: { perFlop: 1e-8, perWeight: 0 } },
    perAttentionFlop: 0,
    perAdapterFlop: 0,
    perAdapterValue: 0,
    methods: {},
  };
  try {
    writeFileSync(path, JSON.stringify(machine));
    const measured = await estimate();
    assert.ok(measured.calibrated && measured.seconds > 50 * plain.seconds, JSON.stringify(measured));
    assert.notEqual(measured.memory_bytes, plain.memory_bytes);
    writeFileSync(path, '{"version":0}');
    assert.deepEqual(await estimate(), plain, 'figures that nobody can read keep nobody from an estimate');
  } finally {
    rmSync(path);
  }
});
