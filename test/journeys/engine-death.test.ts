/** The engine's thread dies, again and again, under a server that is being asked: what its clients and its operator see. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { runJson, startServe, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';

const PRELOAD = fileURLToPath(new URL('../support/kill-engine.ts', import.meta.url));
/** Deaths after which the engine is started again (serving/client.ts); one more is the end. */
const MAX_DEATHS = 3;

interface Refusal {
  readonly error: { readonly code: string; readonly message: string };
}

test('each death fails what was running with the reason, the engine comes back, and after too many the server exits with the reason', async () => {
  using folder = new TemporaryFolder();
  const home = folder.join('home');
  writeTinyBase(folder.join('tiny'), { contextLength: 4096 });
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  await runJson(['tenants', 'create', 'acme'], { home });
  const { secret } = await runJson<{ secret: string }>(['keys', 'create', 'acme'], { home });
  const env = { NODE_OPTIONS: `--import=${PRELOAD}` };
  await using server = await startServe(['--base', 'tiny', '--cache-tokens', '32768'], { home, env });
  const ask = (more: object): Promise<Response> =>
    fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${secret}` },
      body: JSON.stringify({
        model: 'tiny',
        messages: [{ role: 'user', content: 'hello' }],
        temperature: 0,
        ignore_eos: true,
        ...more,
      }),
    });
  const answer = async (): Promise<string> => {
    const response = await ask({ max_tokens: 8 });
    const body = (await response.json()) as { choices: readonly { readonly message: { readonly content: string } }[] };
    assert.equal(response.status, 200, JSON.stringify(body));
    return body.choices[0].message.content;
  };
  const untilReady = async (): Promise<void> => {
    while ((await fetch(`${server.url}/readyz`)).status !== 200) await sleep(20);
  };
  const expected = await answer();
  for (let death = 1; death <= MAX_DEATHS + 1; death++) {
    // Its head is there, so the answer has begun; eight long choices are far from their end.
    const running = await ask({ max_tokens: 4000, n: 8, stream: true });
    assert.equal(running.status, 200);
    server.program.kill('SIGUSR2');
    if (death > MAX_DEATHS) {
      await running.text().catch(() => undefined);
      break;
    }
    const frames = (await running.text()).trim().split('\n\n');
    const { error } = JSON.parse(frames[frames.length - 1].slice('data: '.length)) as Refusal;
    assert.equal(error.code, 'engine_unavailable', 'the stream ends with the reason');
    assert.match(error.message, /the engine stopped/);
    // Until the engine is back, a request is refused with the reason and told to come again.
    const early = await ask({ max_tokens: 1 });
    if (early.status !== 200) {
      assert.deepEqual([early.status, early.headers.get('retry-after')], [503, '1']);
      assert.match(((await early.json()) as Refusal).error.message, /being started again/);
    }
    await untilReady();
    assert.equal(await answer(), expected, 'the new engine answers as the old one did');
    assert.match(
      await (await fetch(`${server.url}/metrics`)).text(),
      new RegExp(`^espalier_engine_crashes_total\\{base="tiny"\\} ${death}$`, 'm'),
    );
  }
  const { code, signal, stdout } = await server.program.finished;
  assert.equal(signal, null);
  assert.equal(code, 1);
  const { error } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Refusal;
  assert.equal(error.code, 'ENGINE_UNAVAILABLE');
  assert.match(error.message, /^the engine of tiny stopped for good: its thread ended with code 1/);
  await assert.rejects(fetch(`${server.url}/healthz`));
});
