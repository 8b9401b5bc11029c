import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from './errors.ts';
import { rebuildError, remoteError } from './remote-error.ts';

test('an error is the same on the other side, and what is none of ours is INTERNAL', () => {
  const problems = [{ where: 'a.jsonl:3', message: 'no messages' }];
  for (const details of [{}, { param: 'data', problems }, { retryAfterMs: 250 }]) {
    const error = new EspalierError('DATA_INVALID', 'wrong', details);
    const { code, message, param, problems: found, retryAfterMs } = rebuildError(structuredClone(remoteError(error)));
    assert.deepEqual(
      { code, message, param, problems: found, retryAfterMs },
      { code: error.code, message, param: error.param, problems: error.problems, retryAfterMs: error.retryAfterMs },
    );
    assert.equal(message, 'wrong');
  }
  const other = remoteError(new TypeError('x is undefined'));
  assert.deepEqual([other.code, other.message], ['INTERNAL', 'x is undefined']);
});
