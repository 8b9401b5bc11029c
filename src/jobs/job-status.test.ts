import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFinal, JOB_COMMANDS, JOB_REPORTS, JOB_STATUSES, nextStatus, type JobStatus } from './job-status.ts';

/** Every pair of a state and what may happen; a dash: not possible. */
const TABLE = `
                 validated rejected started released         succeeded failed cancel    pause  resume
validating_files queued    failed   -       validating_files -         failed cancelled paused -
queued           -         -        running -                -         -      cancelled paused -
running          -         -        -       queued           succeeded failed cancelled paused -
paused           -         -        -       -                -         -      cancelled -      queued
succeeded        -         -        -       -                -         -      -         -      -
failed           -         -        -       -                -         -      -         -      -
cancelled        -         -        -       -                -         -      -         -      -`;

test('the whole table of transitions', () => {
  const [head, ...lines] = TABLE.trim()
    .split('\n')
    .map((line) => line.trim().split(/ +/));
  assert.deepEqual(head.toSorted(), [...JOB_COMMANDS, ...JOB_REPORTS].toSorted());
  assert.deepEqual(
    lines.map(([status]) => status),
    [...JOB_STATUSES],
  );
  for (const [status, ...row] of lines) {
    for (const [index, what] of [...JOB_REPORTS, ...JOB_COMMANDS].entries()) {
      const next = nextStatus(status as JobStatus, what, true) ?? '-';
      assert.equal(next, row[head.indexOf(what)], `${status} ${what} (${index})`);
    }
  }
});

test('a job that is paused before its files have been checked has them checked when it is resumed', () => {
  assert.equal(nextStatus('paused', 'resume', false), 'validating_files');
  assert.equal(nextStatus('paused', 'resume', true), 'queued');
});

test('a final state is one that nothing leaves', () => {
  for (const status of JOB_STATUSES) {
    const leaves = [...JOB_COMMANDS, ...JOB_REPORTS].some((what) => nextStatus(status, what, true) !== undefined);
    assert.equal(isFinal(status), !leaves, status);
  }
});
