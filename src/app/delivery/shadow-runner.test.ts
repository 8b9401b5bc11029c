import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ShadowRunner, type ShadowTask } from './shadow-runner.ts';

/** A task that goes on until it is told to end, or is ended. */
function task(name: string, log: string[]): ShadowTask & { finish(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    finish: resolve,
    run(signal) {
      log.push(`${name} begins`);
      return new Promise((settle, reject) => {
        signal.addEventListener('abort', () => {
          log.push(`${name} is ended`);
          reject(new Error('aborted'));
        });
        void promise.then(() => {
          if (signal.aborted) return;
          log.push(`${name} is done`);
          settle();
        });
      });
    },
    skip: () => void log.push(`${name} is skipped`),
  };
}

test('shadows run one at a time and only while no client asks; a client ends the one that runs, and it begins anew', async () => {
  const log: string[] = [];
  using runner = new ShadowRunner(assert.ifError);
  const [first, second] = [task('first', log), task('second', log)];
  const client = runner.client();
  runner.submit(first);
  runner.submit(second);
  await turn();
  assert.deepEqual(log, [], 'a client is being answered');
  client[Symbol.dispose]();
  await turn();
  assert.deepEqual(log.splice(0), ['first begins']);
  const another = runner.client();
  await turn();
  assert.deepEqual(log.splice(0), ['first is ended']);
  another[Symbol.dispose]();
  first.finish();
  await turn();
  assert.deepEqual(log.splice(0), ['first begins', 'first is done', 'second begins']);
  second.finish();
  await turn();
  assert.deepEqual(log, ['second is done']);
});

test('what is ended too often, has too many before it, or is there at the end, is skipped, and said to be', async () => {
  const log: string[] = [];
  const runner = new ShadowRunner(assert.ifError);
  runner.submit(task('often', log));
  for (let n = 0; n < 3; n++) {
    await turn();
    runner.client()[Symbol.dispose]();
    await turn();
  }
  assert.deepEqual(log.filter((line) => line === 'often is skipped').length, 1);
  assert.equal(log.filter((line) => line === 'often begins').length, 3);
  log.length = 0;
  const client = runner.client();
  for (let n = 0; n < 66; n++) runner.submit(task(`${n}`, log));
  assert.deepEqual(log.splice(0), ['0 is skipped', '1 is skipped'], 'the oldest go first');
  assert.equal(runner.numWaiting, 64);
  runner[Symbol.dispose]();
  assert.equal(log.length, 64);
  client[Symbol.dispose]();
  await turn();
  assert.ok(log.every((line) => line.endsWith('is skipped')));
});

test('a failure of the recording is told, and the next one has its turn', async () => {
  const failures: unknown[] = [];
  const log: string[] = [];
  using runner = new ShadowRunner((error) => failures.push(error));
  runner.submit({ run: () => Promise.reject(new Error('the disk is full')), skip: assert.fail });
  runner.submit(task('next', log));
  await turn();
  assert.equal(failures.length, 1);
  assert.deepEqual(log, ['next begins']);
});
