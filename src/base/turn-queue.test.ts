import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TurnQueue } from './turn-queue.ts';

/** Takes all that is there, one after the other. */
function order(queue: TurnQueue<string>): string {
  let taken = '';
  for (let [next] = queue.heads(); next; [next] = queue.heads()) {
    queue.take(next.tenant, next.item);
    taken += next.item;
  }
  assert.equal(queue.length, 0);
  return taken;
}

function queueOf(...pushed: readonly (readonly [tenant: string | null, items: string])[]): TurnQueue<string> {
  const queue = new TurnQueue<string>();
  for (const [tenant, items] of pushed) for (const item of items) queue.push(tenant, item);
  return queue;
}

test('tenants take turns, each with its own in the order of their coming', () => {
  assert.equal(order(queueOf(['acme', 'abc'], ['globex', 'xy'], [null, 'o'])), 'axobyc');
});

test('what several ask for goes at the best of their places, once; nobody loses a turn by another’s', () => {
  assert.equal(order(queueOf(['acme', 'abcs'], ['globex', 's'])), 'asbc');
  assert.equal(order(queueOf(['acme', 'abcs'], ['globex', 'sx'], ['initech', 'y'])), 'asybxc');
  assert.equal(order(queueOf(['acme', 's'], ['globex', 'sx'])), 'sx');
});

test('what is removed is nobody’s; whoever leaves takes only its own place', () => {
  const queue = queueOf(['acme', 'abs'], ['globex', 's']);
  assert.equal(queue.length, 3);
  queue.leave('globex', 's');
  queue.leave('globex', 's');
  assert.equal(queue.length, 3);
  queue.push('globex', 's');
  queue.leave('acme', 's');
  queue.remove('a');
  queue.remove('a');
  queue.push('acme', 'b');
  assert.equal(order(queue), 'bs');
  queue.take('acme', 'b');
  assert.equal(queue.length, 0);
});
