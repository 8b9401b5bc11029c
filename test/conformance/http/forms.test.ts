/** Multipart forms that are wrong behind their file: each is refused by name, and the server goes on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

let server: TinyServer;
before(async () => {
  server = await startTinyServer({ adapters: { 'acme/reply': { seed: 1, rank: 2, targets: ['q_proj'] } } });
});
after(() => server?.[Symbol.asyncDispose]());

const BOUNDARY = 'border';
const part = (header: string, body: string): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; ${header}\r\n\r\n${body}\r\n`;
const file = (name: string): string => part(`name="${name}"; filename="a.jsonl"`, '{"prompt":"a","completion":"b"}');
const purpose = part('name="purpose"', 'fine-tune');
const END = `--${BOUNDARY}--\r\n`;

/** In one piece, so that the whole form is there before anybody reads its file. */
async function post(path: string, body: string): Promise<{ status: number; message: string }> {
  const headers = {
    Authorization: `Bearer ${server.keyOf('acme')}`,
    'Content-Type': `multipart/form-data; boundary=${BOUNDARY}`,
  };
  const response = await fetch(`${server.url}${path}`, { method: 'POST', headers, body });
  const { error } = (await response.json()) as { error?: { message: string } };
  return { status: response.status, message: error?.message ?? '' };
}

const many = Array.from({ length: 20 }, (_, n) => part(`name="f${n}"`, 'x')).join('');
for (const [what, path, body, status, message] of [
  ['two files', '/v1/files', purpose + file('file') + file('file') + END, 400, /file is one file too many/],
  ['a field twice', '/v1/files', file('file') + purpose + purpose + END, 400, /purpose is there twice/],
  ['a long field', '/v1/files', file('file') + part('name="purpose"', 'x'.repeat(5000)) + END, 400, /longer than 4096/],
  ['many fields', '/v1/files', file('file') + many + END, 400, /more than 16 fields/],
  [
    'a form that ends inside its file',
    '/v1/files',
    (purpose + file('file')).slice(0, -8),
    400,
    /the form cannot be read/,
  ],
  ['two files of an unknown upload', '/v1/uploads/none/parts', file('data') + file('data') + END, 404, /none/],
] as const) {
  test(`${what}: it is refused, and the server goes on`, async () => {
    const refused = await post(path, body);
    assert.equal(refused.status, status, refused.message);
    assert.match(refused.message, message);
    const sound = await post('/v1/files', purpose + file('file') + END);
    assert.equal(sound.status, 200, sound.message);
  });
}
