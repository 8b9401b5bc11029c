/** The native kernels behave as the oracle does, on every instruction set that this machine has. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { ALL_CHECKS } from './all-checks.ts';
import type { Line } from './run-native.ts';

const INSTRUCTION_SETS = ['portable', 'neon', 'avx2', 'avx512', 'avx512bf16'];

function runSuite(isa: string | undefined): { status: number | null; lines: readonly Line[]; stderr: string } {
  const { ESPALIER_ISA: _, ...env } = process.env;
  const result = spawnSync(process.execPath, [join(import.meta.dirname, 'run-native.ts')], {
    env: isa === undefined ? env : { ...env, ESPALIER_ISA: isa },
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const lines = result.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  return { status: result.status, lines, stderr: result.stderr };
}

/** What the processor has according to the system, where it says so: the suite must not skip one of these. */
function expectedInstructionSets(): readonly string[] {
  if (process.arch === 'arm64') return ['portable', 'neon'];
  if (process.arch !== 'x64' || !existsSync('/proc/cpuinfo')) return ['portable'];
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '));
  const has = (...names: string[]): boolean => names.every((name) => flags.has(name));
  const avx2 = has('avx2', 'fma');
  const avx512 = avx2 && has('avx512f', 'avx512bw', 'avx512vl', 'avx512dq');
  return [
    'portable',
    ...(avx2 ? ['avx2'] : []),
    ...(avx512 ? ['avx512'] : []),
    ...(avx512 && has('avx512_bf16') ? ['avx512bf16'] : []),
  ];
}

const expected = expectedInstructionSets();

for (const isa of INSTRUCTION_SETS) {
  suite(`kernels on ${isa}`, () => {
    const { status, lines, stderr } = runSuite(isa);
    if (!expected.includes(isa) && status !== 0) {
      test('is refused by a processor that does not have it, and nothing else is used instead', () => {
        assert.match(stderr, new RegExp(`ESPALIER_ISA=${isa}: this processor does not have it`));
        assert.deepEqual(lines, []);
      });
      return;
    }
    test('is the one that is asked for, and runs the whole suite', () => {
      assert.equal(status, 0, stderr);
      assert.deepEqual(lines[0], { instructionSet: isa });
      const names = lines.flatMap((line) => ('check' in line ? [line.check] : []));
      assert.deepEqual(
        names,
        ALL_CHECKS.map((check) => check.name),
      );
    });
    for (const line of lines) if ('check' in line) test(line.check, () => assert.equal(line.failure, null));
  });
}

test('an unknown instruction set is refused', () => {
  const { status, lines, stderr } = runSuite('sse9');
  assert.notEqual(status, 0);
  assert.deepEqual(lines, []);
  assert.match(stderr, /ESPALIER_ISA=sse9 is unknown: use portable, neon, avx2, avx512 or avx512bf16/);
});
