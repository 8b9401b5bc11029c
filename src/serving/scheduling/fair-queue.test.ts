import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSequence, type SequenceOptions } from '../../../test/support/sequences.ts';
import { EspalierError } from '../../base/index.ts';
import { FairQueue } from './fair-queue.ts';
import type { QueueLimits } from './queue-limits.ts';
import { RateMeter } from './rate-meter.ts';
import type { Sequence } from '../sequence.ts';

const LIMITS: QueueLimits = { maxWaiting: 100, maxWaitingPerTenant: 100, maxSequences: 4, maxWaitMs: Infinity };

let order = 0;
function add(queue: FairQueue, tenant: string, options: SequenceOptions = {}, nowMs = 0): Sequence {
  const sequence = makeSequence(tenant, { tenant, ...options });
  sequence.order = order++;
  queue.add(sequence, nowMs);
  return sequence;
}

/** Begins the next one, which is served `cost` and ends. @returns whose it was */
function serve(queue: FairQueue, cost: number, nowMs = 0): string | null {
  const sequence = queue.line(nowMs).next();
  assert.ok(sequence, 'somebody waits');
  queue.begin(sequence, nowMs);
  sequence.hasBegun = true;
  queue.charge(sequence, cost);
  queue.end(sequence);
  return sequence.tenant;
}

test('who was served least goes first, by cost and not by number', () => {
  const queue = new FairQueue(LIMITS);
  for (let n = 0; n < 10; n++) for (const tenant of ['a', 'b']) add(queue, tenant);
  assert.equal(serve(queue, 30), 'a');
  const next = Array.from({ length: 4 }, () => serve(queue, 10));
  assert.deepEqual(next, ['b', 'b', 'b', 'a']);
});

test('a tenant of twice the weight is served twice as much', () => {
  const queue = new FairQueue(LIMITS);
  for (let n = 0; n < 30; n++)
    for (const [tenant, weight] of [
      ['a', 1],
      ['b', 2],
    ] as const)
      add(queue, tenant, { weight });
  const served = Array.from({ length: 30 }, () => serve(queue, 7));
  assert.equal(served.filter((tenant) => tenant === 'b').length, 20);
});

test('being idle saves nothing up: a tenant that comes late starts from the least served active one', () => {
  const queue = new FairQueue(LIMITS);
  for (let n = 0; n < 30; n++) add(queue, 'a');
  for (let n = 0; n < 10; n++) serve(queue, 10);
  for (let n = 0; n < 20; n++) add(queue, 'late');
  const served = Array.from({ length: 20 }, () => serve(queue, 10));
  assert.equal(served.filter((tenant) => tenant === 'late').length, 10);
});

test('leaving does not clear a debt while others work; when all were idle everybody starts alike', () => {
  const queue = new FairQueue(LIMITS);
  add(queue, 'greedy');
  add(queue, 'steady');
  add(queue, 'steady');
  assert.equal(serve(queue, 1000), 'greedy');
  assert.equal(serve(queue, 10), 'steady');
  add(queue, 'greedy');
  for (let n = 0; n < 50; n++) add(queue, 'steady');
  const served = Array.from({ length: 50 }, () => serve(queue, 10));
  assert.ok(!served.includes('greedy'));
  while (queue.numWaiting > 0) serve(queue, 10);
  for (let n = 0; n < 10; n++) for (const tenant of ['new', 'newer']) add(queue, tenant);
  assert.equal(Array.from({ length: 10 }, () => serve(queue, 10)).filter((tenant) => tenant === 'new').length, 5);
});

test('tenants that are gone are forgotten', () => {
  const queue = new FairQueue(LIMITS);
  for (let n = 0; n < 1000; n++) {
    add(queue, `tenant ${n}`);
    serve(queue, 5);
  }
  assert.ok(queue.numTenants <= 2, `${queue.numTenants} are remembered`);
});

test('who has waited too long goes first, whatever the counters and priorities say', () => {
  const queue = new FairQueue({ ...LIMITS, maxWaitMs: 100 });
  add(queue, 'a', {}, 0);
  const running = add(queue, 'b', {}, 0);
  serve(queue, 1000, 0);
  queue.begin(running, 0);
  const low = add(queue, 'a', { priority: -5 }, 10);
  add(queue, 'a', { priority: 5 }, 20);
  add(queue, 'b', {}, 30);
  assert.equal(queue.line(109).next()?.tenant, 'b');
  assert.equal(queue.line(110).next(), low);
  const line = queue.line(110);
  line.pass(queue.tenantOf(low));
  assert.equal(line.next()?.tenant, 'b', 'unless its tenant is passed over');
});

test('a tenant that has its part of the places is not owed one more; its requests that wait too long are given up', () => {
  const queue = new FairQueue({ ...LIMITS, maxWaitMs: 100 });
  const begin = (): void => {
    const sequence = queue.line(0).next() ?? assert.fail();
    queue.begin(sequence, 0);
    sequence.hasBegun = true;
  };
  for (let n = 0; n < 5; n++) add(queue, 'greedy');
  for (let n = 0; n < 4; n++) begin();
  assert.deepEqual(queue.giveUpOverdue(1000), [], 'nobody else is there');
  const late = add(queue, 'late', {}, 50);
  const preempted = add(queue, 'greedy', {}, 50);
  queue.begin(preempted, 50);
  preempted.hasBegun = true;
  queue.putBack(preempted, 60);
  assert.equal(queue.overdue(150), late);
  assert.deepEqual(queue.giveUpOverdue(99), []);
  const [givenUp, ...more] = queue.giveUpOverdue(1000);
  assert.deepEqual([givenUp.sequence.tenant, givenUp.error.code, more], ['greedy', 'OVERLOADED', []]);
  assert.deepEqual([queue.numWaiting, queue.line(1000).next()], [2, late], 'what has begun is not given up');
});

test('who was preempted waits at the head, whatever the priority of those that have not begun', () => {
  const queue = new FairQueue(LIMITS);
  add(queue, 'a', { priority: 9 });
  const [early, late] = [add(queue, 'a', { priority: -1 }), add(queue, 'a', { priority: 1 })];
  for (const sequence of [early, late]) {
    queue.begin(sequence, 0);
    sequence.hasBegun = true;
  }
  queue.putBack(late, 1);
  assert.equal(queue.line(1).next(), late);
  queue.putBack(early, 2);
  assert.equal(queue.line(2).next(), early);
});

test('a tenant’s part grows when others leave', () => {
  const queue = new FairQueue(LIMITS);
  const tenant = queue.tenantOf(add(queue, 'a'));
  const others = ['b', 'c', 'd'].map((id) => add(queue, id, { weight: 2 }));
  const shares = [queue.shareOf(tenant)];
  for (const sequence of others) {
    queue.remove(sequence);
    shares.push(queue.shareOf(tenant));
  }
  assert.deepEqual(shares, [1, 1, 4 / 3, 4], 'never less than one place');
});

test('a flood fills its own queue; the others still come in', () => {
  const queue = new FairQueue({ ...LIMITS, maxWaiting: 12, maxWaitingPerTenant: 8 });
  const fill = (tenant: string): number => {
    for (let n = 0; ; n++) {
      try {
        add(queue, tenant);
      } catch {
        return n;
      }
    }
  };
  assert.deepEqual(['flood', 'second', 'third', 'fourth'].map(fill), [8, 6, 4, 3]);
  assert.throws(() => add(queue, 'flood'), {
    code: 'OVERLOADED',
    message: /8 requests of this tenant/,
    retryAfterMs: 1000,
  });
  assert.throws(() => add(queue, 'fourth'), { code: 'OVERLOADED', message: /21 requests are waiting/ });
  assert.equal(queue.numWaiting, 21);
});

test('a request that would wait too long is refused when it comes, with the time to come back', () => {
  const queue = new FairQueue({ ...LIMITS, maxWaitMs: 5500 });
  for (let n = 0; n < 10; n++) add(queue, 'a');
  // One begins every second.
  for (let nowMs = 1000; nowMs <= 3000; nowMs += 1000) assert.equal(serve(queue, 1, nowMs), 'a');
  queue.remove(add(queue, 'a', {}, 3000)); // alone, it may wait
  queue.begin(add(queue, 'running', {}, 3000), 2000);
  // Seven wait: the next would wait for eight seconds. In four half of them have begun.
  assert.throws(() => add(queue, 'a', {}, 3000), {
    code: 'OVERLOADED',
    message: /would wait 8 s, longer than the 5.5 s .* in 4 s/,
    retryAfterMs: 4000,
  });
  for (let nowMs = 4000; nowMs <= 6000; nowMs += 1000) serve(queue, 1, nowMs);
  add(queue, 'a', {}, 6000);
  assert.throws(() => add(queue, 'a', {}, 6000), { code: 'OVERLOADED' });
  // Another tenant is let in, and judged by how fast anybody begins: in turns with the first.
  add(queue, 'b', {}, 6000);
  add(queue, 'b', {}, 6000);
  assert.throws(() => add(queue, 'b', {}, 6000), { code: 'OVERLOADED', message: /would wait 7 s/ });
});

test('with more tenants than places the first request of one more is judged by the turns before it', () => {
  const queue = new FairQueue({ ...LIMITS, maxSequences: 2, maxWaitMs: 2500 });
  for (const tenant of ['a', 'b']) {
    const sequence = add(queue, tenant, {}, 0);
    queue.begin(sequence, 0);
    sequence.hasBegun = true;
  }
  // Nobody waits, however long ago the last one began.
  add(queue, 'c', {}, 100_000);
  add(queue, 'd', {}, 100_000);
  assert.equal(serve(queue, 1, 101_000), 'c');
  add(queue, 'e', {}, 101_000);
  assert.throws(() => add(queue, 'f', {}, 101_000), { code: 'OVERLOADED', message: /would wait 3 s/ });
  assert.deepEqual(queue.giveUpOverdue(102_499), []);
  const givenUp = queue.giveUpOverdue(102_500);
  assert.deepEqual(
    givenUp.map(({ sequence, error }) => [sequence.tenant, error.code]),
    [['d', 'OVERLOADED']],
  );
});

test('a rate is that of the last seconds: bursts count by their mean, and silence is seen', () => {
  const meter = new RateMeter(0);
  assert.equal(meter.gapMs(500), undefined);
  for (let nowMs = 4000; nowMs <= 80_000; nowMs += 4000) for (let n = 0; n < 8; n++) meter.tick(nowMs);
  const gap = meter.gapMs(82_000) ?? 0;
  assert.ok(gap > 400 && gap < 650, `${gap} ms on average`);
  assert.ok((meter.gapMs(200_000) ?? 0) > 100_000);
});

for (const others of [0, 1]) {
  test(`a client is told to come back by a steady pace, also when all answers end together (with ${others} other tenants)`, () => {
    const [places, answerMs] = [32, 10_000];
    const limits = { ...LIMITS, maxSequences: places, maxWaitingPerTenant: 96, maxWaiting: 1000 };
    const queue = new FairQueue({ ...limits, maxWaitMs: 600_000 });
    const retries: number[] = [];
    let running: Sequence[] = [];
    for (let nowMs = 0; nowMs < 300_000; nowMs += 500) {
      if (nowMs % answerMs === 0) for (const sequence of running.splice(0)) queue.end(sequence);
      for (let tenant = 0; tenant <= others; tenant++) {
        for (let isFull = false; !isFull;) {
          try {
            add(queue, `tenant ${tenant}`, {}, nowMs);
          } catch (error) {
            assert.ok(error instanceof EspalierError && error.retryAfterMs !== undefined);
            retries.push(error.retryAfterMs);
            isFull = true;
          }
        }
      }
      while (running.length < places) {
        const next = queue.line(nowMs).next() ?? assert.fail('somebody waits');
        queue.begin(next, nowMs);
        next.hasBegun = true;
        queue.charge(next, 1);
        running = [...running, next];
      }
    }
    assert.ok(retries.every((ms) => ms >= 1000 && ms <= 60_000));
    const late = retries.slice(retries.length / 2);
    // 96 wait, and 32 begin in ten seconds, of all tenants: half of them have begun after 15 s, or 30.
    const expected = (15_000 * (1 + others) * 97) / 96;
    const [least, most] = [Math.min(...late), Math.max(...late)];
    assert.ok(least > 0.75 * expected && most < 1.3 * expected, `${least} to ${most} ms, expected ${expected}`);
  });
}

test('time in which nobody waits says nothing of the pace, and none is told to come back in hours', () => {
  const queue = new FairQueue({ ...LIMITS, maxWaitingPerTenant: 2 });
  const retryMs = (nowMs: number): number | undefined => {
    try {
      add(queue, 'a', {}, nowMs);
    } catch (error) {
      if (error instanceof EspalierError) return error.retryAfterMs;
    }
    return assert.fail('it is refused');
  };
  for (let nowMs = 0; nowMs <= 20_000; nowMs += 2000) {
    add(queue, 'a', {}, nowMs);
    if (nowMs > 0) serve(queue, 1, nowMs);
  }
  add(queue, 'a', {}, 20_000);
  const before = retryMs(20_000) ?? 0;
  assert.ok(before >= 2900 && before <= 3100, `${before} ms`);
  serve(queue, 1, 20_000);
  serve(queue, 1, 20_000);
  for (let n = 0; n < 2; n++) add(queue, 'a', {}, 3_600_000);
  const after = retryMs(3_600_000) ?? 0;
  assert.ok(after > 0.7 * before && after <= before, `${after} ms`);
  assert.equal(retryMs(7_200_000), 60_000);
});
