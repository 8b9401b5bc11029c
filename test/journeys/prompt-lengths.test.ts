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
