/** Gates, canaries and shadows from the command line, beside a server that is killed meanwhile. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdapterVersion, CanaryReport } from '../../src/app/index.ts';
import { run, runJson, startServe, TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';
import { chatLines } from '../support/tuning-data.ts';

test(
  'a gate holds a version back, a canary goes on where a killed server left it and is rolled back by its scores',
  { timeout: 900_000 },
  async () => {
    using folder = new TemporaryFolder();
    const home = folder.join('home');
    const json = <T>(...args: string[]): Promise<T> => runJson<T>(args, { home });
    const refusal = async (...args: string[]): Promise<{ code: string; message: string }> => {
      const { code, stdout } = await run([...args, '--json'], { home });
      assert.equal(code, 1, stdout);
      return (JSON.parse(stdout) as { error: { code: string; message: string } }).error;
    };
    writeTinyBase(folder.join('tiny'));
    await json('models', 'import', folder.join('tiny'), '--name', 'tiny');
    await json('tenants', 'create', 'acme');
    const { secret } = await json<{ secret: string }>('keys', 'create', 'acme');
    const publish = (seed: number): Promise<AdapterVersion> => {
      const directory = folder.join(`adapter-${seed}`);
      writeRandomAdapter(directory, tinySites(), { seed, rank: 2, targets: ['q_proj'] });
      return json<AdapterVersion>('adapters', 'publish', directory, 'acme/triage', '--base', 'tiny');
    };
    await publish(1);
    const data = folder.join('held-out.jsonl');
    writeFileSync(data, chatLines(8));
    assert.equal((await run(['routes', 'gate', 'acme/triage', '--data', data], { home })).code, 2);
    await json('routes', 'gate', 'acme/triage', '--data', data, '--metric', 'loss', '--threshold', '0.1');
    assert.equal((await publish(2)).version, 2);
    const latest = async (): Promise<number> => (await json<AdapterVersion>('adapters', 'show', 'acme/triage')).version;
    assert.equal(await latest(), 1, 'what is published behind a gate answers nothing yet');
    const refused = await refusal('adapters', 'promote', 'acme/triage@2');
    assert.equal(refused.code, 'PROMOTION_REFUSED');
    assert.match(refused.message, /loss \d+\.\d+ on held-out\.jsonl \(8 examples\); at most 0\.1 is asked/);
    const shown = await json<AdapterVersion>('adapters', 'show', 'acme/triage@2');
    assert.ok(shown.metrics['gate.loss'] > 0.1);
    assert.equal(
      (await refusal('routes', 'canary', 'start', 'acme/triage@2', '--share', '0.5')).code,
      'PROMOTION_REFUSED',
    );

    const serve = () => startServe(['--base', 'tiny'], { home });
    let server = await serve();
    try {
      const canary = ['routes', 'canary', 'start', 'acme/triage@2', '--share', '0.5', '--max-score-drop', '0.2'];
      await json(...canary, '--no-gate');
      const headers = { Authorization: `Bearer ${secret}` };
      const post = (path: string, body: object, more: Record<string, string> = {}): Promise<Response> =>
        fetch(`${server.url}${path}`, { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify(body) });
      const ask = async (user: string): Promise<string> => {
        const messages = [{ role: 'user', content: 'hello' }];
        const body = { model: 'tiny', metadata: { task: 'triage' }, user, messages, max_completion_tokens: 2 };
        const response = await post('/v1/chat/completions', body, { 'X-Request-Id': user });
        assert.equal(response.status, 200);
        return ((await response.json()) as { model: string }).model;
      };
      const users = Array.from({ length: 60 }, (_, n) => `user-${n}`);
      const before = [];
      for (const user of users.slice(0, 30)) before.push(await ask(user));
      // What gathers in memory is written twice a second.
      await sleep(1000);
      server.program.kill();
      await server.program.finished;
      server = await serve();
      const counted = await json<CanaryReport>('routes', 'canary', 'show', 'acme/triage');
      assert.equal(counted.counts.canary.requests + counted.counts.stable.requests, 30);
      assert.equal(counted.counts.canary.requests, before.filter((model) => model === 'acme/triage@2').length);
      for (const [n, user] of users.slice(0, 30).entries()) assert.equal(await ask(user), before[n], 'sessions stay');
      for (const user of users.slice(30)) before.push(await ask(user));
      assert.equal((await refusal('adapters', 'remove', 'acme/triage@2')).code, 'ADAPTER_IN_USE');
      for (const [n, user] of users.entries()) {
        const response = await post('/api/feedback', { request_id: user, score: before[n].endsWith('@2') ? 0 : 1 });
        assert.equal(response.status, 200);
      }
      for (const user of users.slice(0, 10)) assert.equal(await ask(user), 'acme/triage@1', 'from the next request on');
    } finally {
      await server[Symbol.asyncDispose]();
    }
    const { canary, counts } = await json<CanaryReport>('routes', 'canary', 'show', 'acme/triage');
    assert.equal(canary.status, 'rolled-back');
    assert.match(canary.reason ?? '', /the mean of its scores is 0/);
    assert.ok(counts.canary.scores.count >= 10);
    await json('routes', 'shadow', 'start', 'acme/triage@2', '--share', '0.25');
    assert.equal((await refusal('adapters', 'remove', 'acme/triage@2')).code, 'ADAPTER_IN_USE');
    assert.match((await run(['routes', 'list', 'acme'], { home })).stdout, /loss +- +2 \(0\.25\)/);
    await json('routes', 'shadow', 'stop', 'acme/triage');
    await json('adapters', 'promote', 'acme/triage@2', '--no-gate');
    assert.equal(await latest(), 2);
    await json('adapters', 'rollback', 'acme/triage');
    await json('routes', 'gate', 'acme/triage', '--clear');
    const events = await json<{ kind: string; actor: string | null }[]>('routes', 'events', 'acme/triage');
    assert.deepEqual(
      events.map(({ kind, actor }) => `${kind} ${actor}`),
      [
        'gate-removed cli',
        'promoted-without-gate cli',
        'shadow-stopped cli',
        'shadow-started cli',
        'canary-rolled-back null',
        'canary-started cli',
        'promotion-refused cli',
        'promotion-refused cli',
        'gate-set cli',
      ],
    );
  },
);
