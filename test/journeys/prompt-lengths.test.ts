/** What a prompt may be long, beside the answers, the virtual tokens and the other prompts of its request; over HTTP, on the real engine. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { importAdapter } from '../../src/app/index.ts';
import { NO_LIMITS } from '../../src/tenancy/index.ts';
import { writePromptAdapter } from '../support/tiny-adapters.ts';
import { TINY_HIDDEN_SIZE } from '../support/tiny-base.ts';
import { startTinyServer, type TinyServer } from '../support/tiny-server.ts';

const CONTEXT = 256;
const VIRTUAL = 40;

let server: TinyServer;
before(async () => {
  server = await startTinyServer({
    contextLength: CONTEXT,
    adapters: { 'acme/reply': { seed: 1, rank: 4, targets: ['q_proj'] } },
  });
  const folder = server.adapterPath('acme-prompt');
  writePromptAdapter(folder, TINY_HIDDEN_SIZE, VIRTUAL, 7);
  await importAdapter(server.config, folder, 'acme/prompt', 'tiny');
});
after(() => server?.[Symbol.asyncDispose]());

function post(path: string, body: object): Promise<Response> {
  return fetch(`${server.url}/v1/${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${server.keyOf('acme')}` },
    body: JSON.stringify(body),
  });
}

interface Answer {
  readonly usage: { readonly total_tokens: number };
}

test('an answer without a length gets what the virtual tokens of its adapter leave', async () => {
  // Less than the context holds without them, and more than it holds with them; then more than either.
  for (const tokensPerMinute of [CONTEXT - 6, 10 * CONTEXT]) {
    server.platform.tenants.setLimits('acme', { ...NO_LIMITS, tokensPerMinute });
    const messages = [{ role: 'user', content: 'hello' }];
    const response = await post('chat/completions', { model: 'acme/prompt', messages, ignore_eos: true });
    assert.equal(response.status, 200);
    const { usage } = (await response.json()) as Answer;
    assert.equal(usage.total_tokens, CONTEXT - VIRTUAL);
  }
});

test('of several prompts or inputs one that cannot be answered refuses all, before any is begun or billed', async () => {
  const { platform } = server;
  platform.tenants.setLimits('acme', NO_LIMITS);
  const begun = async (): Promise<readonly number[]> => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const valueOf = (name: string): number => Number(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'm').exec(text)?.[1]);
    platform.usage.flush();
    const used = platform.usage.read('acme', '2000-01-01', '9999-12-31');
    const billed = used.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
    return [valueOf('espalier_engine_prompt_tokens_total'), valueOf('espalier_engine_steps_total'), billed];
  };
  const before = await begun();
  assert.ok(before.every(Number.isFinite));
  const short = Array.from({ length: 8 }, () => [5, 6]);
  const fits = Array<number>(CONTEXT - 8).fill(5);
  const long = [...fits, 5];
  for (const [path, body, code, param] of [
    ['completions', { model: 'tiny', prompt: [...short, long] }, 'context_length_exceeded', 'prompt[8]'],
    ['completions', { model: 'tiny', prompt: [...short, long], stream: true }, 'context_length_exceeded', 'prompt[8]'],
    ['completions', { model: 'acme/reply', prompt: [...short, long] }, 'context_length_exceeded', 'prompt[8]'],
    [
      'completions',
      { model: 'acme/prompt', prompt: [...short, fits.slice(VIRTUAL - 1)] },
      'context_length_exceeded',
      'prompt[8]',
    ],
    ['completions', { model: 'tiny', prompt: ['a', ''] }, 'invalid_request', 'prompt[1]'],
    [
      'embeddings',
      { model: 'tiny', input: [...short, [...long, ...short.flat()]] },
      'context_length_exceeded',
      'input[8]',
    ],
    ['embeddings', { model: 'acme/reply', input: ['a', ''] }, 'invalid_request', 'input[1]'],
  ] as const) {
    const response = await post(path, path === 'completions' ? { max_tokens: 8, ...body } : body);
    const { error } = (await response.json()) as { error: { code: string; param: string } };
    assert.deepEqual([response.status, error.code, error.param], [400, code, param]);
  }
  assert.deepEqual(await begun(), before);
  // What fits to the last token is answered.
  const whole = await post('completions', { model: 'acme/prompt', max_tokens: 8, prompt: [fits.slice(VIRTUAL), [5]] });
  assert.equal(whole.status, 200);
});
