/** Requests made from /openapi.json, right ones and nearly right ones, to the real server: no answer is a 5xx, and every status is documented. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { z } from 'zod';
import { Rng } from '../../../src/base/index.ts';
import { chatCompletion } from '../../../src/http/wire/chat-response.ts';
import { classificationList } from '../../../src/http/wire/classification.ts';
import { embeddingList } from '../../../src/http/wire/embedding.ts';
import { textCompletion } from '../../../src/http/wire/text-response.ts';
import { SchemaFuzzer, type JsonSchema } from '../../support/schema-fuzzer.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';
import { chatLines } from '../../support/tuning-data.ts';

interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}

/** What a whole answer must look like. */
const ANSWERS: Readonly<Record<string, { parse(value: unknown): unknown }>> = {
  '/v1/chat/completions': chatCompletion.strict(),
  '/v1/completions': textCompletion.strict(),
  '/v1/embeddings': embeddingList.strict(),
  '/v1/classify': classificationList.strict(),
};
/** What OpenAI's clients read. */
const ERROR = z.strictObject({
  error: z.strictObject({
    message: z.string().min(1),
    type: z.string().min(1),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});
const MODELS = ['tiny', 'tiny', 'acme/reply', 'acme/triage@1', 'acme/none', 'globex/label', ''];
/** Only a classifier has labels. */
const CLASSIFIERS = ['acme/fruit', 'acme/fruit', 'acme/fruit', 'acme/reply', 'acme/none', ''];
const TOOL_TURNS = [
  { role: 'user', content: 'how warm?' },
  { role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'a', arguments: '{}' } }] },
  { role: 'tool', tool_call_id: 'c', content: '7' },
];
/** Names to load adapters under, and to unload them by: enough that many are still free, or still taken. */
const NAMES = ['tiny', 'a/b', ...Array.from({ length: 40 }, (_, n) => `name-${n}`)];
/** Routes whose right requests need what an earlier one has made: only their wrong ones are made here. */
const NEEDS_STATE = [
  '/v1/uploads/{upload_id}/complete',
  '/api/routes/{task}/rollback',
  '/api/routes/{task}/canary',
  '/api/routes/{task}/shadow',
  '/api/feedback',
];
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  '{tenant}': ['acme', 'globex', 'none', '%00', '..'],
  '{task}': ['reply', 'reply', 'triage', 'none', '%00'],
};
const ANY_PARAMETER = ['tiny', 'acme/reply', '%00', '..'];
const REQUESTS = 160;
/** Routes whose bodies name nothing that could be missing. */
const NAMES_NOTHING = ['/v1/uploads', '/api/tenants'];
/** Where a model is what is trained: a base. */
const TRAINING = ['/v1/fine_tuning', '/api/data'];
const AT_ONCE = 6;

let server: TinyServer;
let description: Description;
let trainingFile: string;

before(async () => {
  server = await startTinyServer({
    // Short, so that an answer without a limit is short too; long enough to describe a few tools.
    contextLength: 400,
    serve: { jobs: 0 },
    adapters: {
      'acme/triage': { seed: 1, rank: 2, targets: ['q_proj'] },
      'acme/reply': { seed: 2, rank: 4, targets: 'all-linear' },
      'acme/fruit': { seed: 4, rank: 2, targets: ['o_proj'], labels: ['pome', 'stone'] },
      'globex/label': { seed: 3, rank: 2, targets: ['o_proj'] },
    },
  });
  description = (await (await fetch(`${server.url}/openapi.json`)).json()) as Description;
  const client = new OpenAI({ apiKey: server.keyOf('acme'), baseURL: `${server.url}/v1`, maxRetries: 0 });
  const file = await toFile(Buffer.from(chatLines(2)), 'train.jsonl');
  trainingFile = (await client.files.create({ file, purpose: 'fine-tune' })).id;
});
after(() => server?.[Symbol.asyncDispose]());

/** Bodies that are no JSON of the schema at all. */
function broken(fuzzer: SchemaFuzzer, text: string): string | Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  return fuzzer.pick([
    '',
    'null',
    '[]',
    '{',
    '\ufeff{}',
    text.slice(0, Math.floor(text.length / 2)),
    `${text}${text}`,
    '['.repeat(20_000),
    `{"model":"tiny","model":"tiny",${text.slice(1)}`,
    bytes.map((byte, n) => (n === 5 ? 0xff : byte)),
    '{"__proto__":{"model":"tiny"},"constructor":1}',
  ]);
}

test('no request makes the server fail', { timeout: 300_000 }, async (t) => {
  const operatorKey = server.platform.keys.create({ tenant: null, role: 'admin' }).secret;
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  for (const { path, method, operation } of operations) {
    await t.test(`${method} ${path}`, async () => {
      const schema = operation.requestBody?.content['application/json']?.schema;
      const words = {
        model: TRAINING.some((part) => path.startsWith(part)) ? ['tiny', 'tiny', 'tiny', 'acme/reply'] : MODELS,
        // A tenant is made once.
        ...(path === '/api/tenants' && { name: Array.from({ length: REQUESTS }, (_, n) => `tenant-${n}`) }),
        ...(path === '/api/prices' && { tenant: [null, 'acme', 'globex', 'none'], currency: ['EUR', null] }),
        training_file: [trainingFile, trainingFile, trainingFile, 'file-none'],
        validation_file: [trainingFile],
        file: [trainingFile, trainingFile, trainingFile, 'file-none'],
        metric: ['loss', 'accuracy'],
        suffix: ['parity', 'x.y'],
        rank: [1, 2, 8],
        target_modules: ['attention', 'all-linear', ['q_proj']],
        // A split names a text, all else a number.
        version: path.endsWith('{task}') ? ['latest', '1', '2'] : [1, 1, 1, 2],
        alias: ['latest'],
        id: MODELS,
        task: ['reply', 'none', '../x'],
        lora_name: NAMES,
        parameters: [
          { type: 'object', properties: { a: { type: 'integer' }, b: { enum: ['x', null] } }, required: ['b'] },
          { $ref: '#' },
          { type: 'object', not: {} },
        ],
        // Results of calls that were never made are refused: some conversations are right.
        messages: [undefined, TOOL_TURNS.slice(0, 1), TOOL_TURNS],
        // Either input or messages.
        ...(path === '/v1/classify' && {
          model: CLASSIFIERS,
          input: ['pear', ['pear', 'plum'], [5, 7], undefined],
          messages: [null, null, TOOL_TURNS.slice(0, 1)],
        }),
        tool_call_id: MODELS,
        arguments: ['{"a": 1}', '{', '"\\u003c|im_end|>"'],
        lora_path: ['acme/reply', 'acme/triage', 'acme/triage@1', 'acme/none', 'globex/label', '../x'],
      };
      const fuzzer = new SchemaFuzzer(Rng.fromSeed(20, `${method} ${path}`), description.components.schemas, words);
      // Limits and prices are the operator's to set.
      const isAdmin = path.startsWith('/api/tenants') || path === '/api/prices';
      const key = isAdmin ? operatorKey : server.keyOf('acme');
      const counts = new Map<number, number>();
      const one = async (n: number): Promise<void> => {
        const value = schema && fuzzer.valid(schema);
        const kind = n % 4;
        const text = JSON.stringify(kind === 2 ? fuzzer.mutated(value) : value);
        const body = kind === 3 ? broken(fuzzer, text ?? '') : text;
        const url =
          server.url +
          path.replaceAll(/\{\w+\}/g, (name) => encodeURIComponent(fuzzer.pick(PARAMETERS[name] ?? ANY_PARAMETER)));
        const response = await fetch(url, {
          method: method.toUpperCase(),
          headers: {
            'Content-Type': 'application/json',
            ...(fuzzer.chance(0.97) && { Authorization: `Bearer ${key}` }),
            ...(fuzzer.chance(0.1) && { 'X-Task': fuzzer.pick(['reply', 'none', 'a/b']) }),
          },
          ...(schema && { body: body ?? '' }),
        });
        const answer = await response.text();
        const what = `${String(body).slice(0, 2000)} -> ${response.status} ${answer.slice(0, 500)}`;
        assert.ok(response.status < 500, what);
        assert.ok(!answer.includes('internal_error'), what);
        assert.ok(String(response.status) in operation.responses, `an undocumented status: ${what}`);
        assert.match(response.headers.get('x-request-id') ?? '', /^req_/);
        if (response.status === 200 && response.headers.get('content-type')?.startsWith('application/json')) {
          ANSWERS[path]?.parse(JSON.parse(answer));
        } else if (response.status >= 400) {
          ERROR.parse(JSON.parse(answer));
        }
        counts.set(response.status, (counts.get(response.status) ?? 0) + 1);
      };
      const numRequests = schema ? REQUESTS : 4;
      for (let n = 0; n < numRequests; n += AT_ONCE) {
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, numRequests - n) }, (_, i) => one(n + i)));
      }
      if (!schema) return;
      const seen = JSON.stringify([...counts]);
      if (NEEDS_STATE.includes(path)) return;
      assert.ok((counts.get(200) ?? 0) >= REQUESTS / 10, `enough were right to be answered: ${seen}`);
      assert.ok((counts.get(400) ?? 0) >= REQUESTS / 10, `enough were wrong: ${seen}`);
      if (!NAMES_NOTHING.includes(path)) assert.ok((counts.get(404) ?? 0) > 0, seen);
    });
  }
  assert.deepEqual(server.errors, []);
});
