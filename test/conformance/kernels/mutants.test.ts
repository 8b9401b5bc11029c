/** Every check of the suite can fail: kernels with deliberate faults are rejected, each by the check that is named. */
import assert, { AssertionError } from 'node:assert/strict';
import { test } from 'node:test';
import { ALL_CHECKS } from './all-checks.ts';
import { attentionFaults } from './attention-faults.ts';
import type { Method, Subject } from './check.ts';
import { withMethods } from './check.ts';
import type { Fault } from './fault.ts';
import { matrixFaults } from './matrix-faults.ts';
import { nativeSubject } from './native-subject.ts';
import { nf4Faults } from './nf4-faults.ts';
import { outputFaults } from './output-faults.ts';
import { programFaults } from './program-faults.ts';
import { rowFaults } from './row-faults.ts';

const FAULTS: readonly Fault[] = [
  ...outputFaults,
  ...matrixFaults,
  ...nf4Faults,
  ...rowFaults,
  ...attentionFaults,
  ...programFaults,
];

const subject = nativeSubject();
const rejecting = new Set<string>();

/** Runs the checks that the fault names against kernels with the fault. */
function assertRejected({ method, name, check, of }: Fault): void {
  let threads = 1;
  const faulty: Subject = {
    kernels: withMethods(
      subject.kernels,
      of(subject.kernels, () => threads),
    ),
    setThreads(count) {
      threads = count;
      subject.setThreads(count);
    },
  };
  const checks = ALL_CHECKS.filter((candidate) => candidate.methods.includes(method) && check.test(candidate.name));
  assert.ok(checks.length > 0, `no check of ${method} matches ${check}`);
  for (const candidate of checks) {
    try {
      candidate.run(faulty);
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error;
      rejecting.add(candidate.name);
      return;
    }
  }
  assert.fail(`${method} that ${name} passes: ${checks.map((candidate) => candidate.name).join('; ')}`);
}

for (const each of FAULTS) {
  test(`rejects ${each.method} that ${each.name}`, () => assertRejected(each));
}

test('every kernel has faults', () => {
  const methods = new Set(ALL_CHECKS.flatMap((check) => check.methods));
  const missing = [...methods].filter((method) => !FAULTS.some((each) => each.method === method));
  assert.deepEqual(missing, []);
  const names = Object.entries(subject.kernels).flatMap(([key, value]) => (typeof value === 'function' ? [key] : []));
  const untested = names.filter((name) => !methods.has(name as Method));
  assert.deepEqual(untested, [], 'kernels without a check');
});

// Tests of a file run one after the other: by now every fault has been tried.
test('every check of the suite has rejected a fault', () => {
  const idle = ALL_CHECKS.filter((check) => !rejecting.has(check.name)).map((check) => check.name);
  assert.deepEqual(idle, []);
});
