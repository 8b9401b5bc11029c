/**
 * `npm test`: builds the addon where it is stale, then runs the kernels' tests (cargo) and every `*.test.ts` of src,
 * test and tools (node --test, two files at a time). Arguments pick test files by a part of their path, and then the
 * kernels' tests run only if one of them is "native": `npm test -- serving native`.
 *
 * The exit code is 0 only when everything that was to run ran and passed; finding nothing to run is a failure, and so
 * is running longer than the time limit.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, sep } from 'node:path';

const root = join(import.meta.dirname, '..');
const native = join(root, 'native');
const TIME_LIMIT_MS = 75 * 60_000;
const FILE_LIMIT_MS = 20 * 60_000;
const CONCURRENCY = 2;

const deadline = Date.now() + TIME_LIMIT_MS;

/** Runs a program to its end or to the deadline; its output goes straight through. Resolves to whether it exited 0. */
function run(program: string, args: readonly string[], cwd: string): Promise<boolean> {
  return new Promise((resolve) => {
    // A group of its own, so that reaching the deadline also ends what the program started.
    const child = spawn(program, args, { cwd, stdio: 'inherit', detached: process.platform !== 'win32' });
    const stop = (signal: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      if (process.platform === 'win32') child.kill(signal);
      else process.kill(-child.pid, signal);
    };
    const onInterrupt = (): void => stop('SIGTERM');
    const timer = setTimeout(
      () => {
        console.error(`run-tests: over the time limit of ${TIME_LIMIT_MS / 60_000} minutes: ${program} is ended`);
        stop('SIGKILL');
      },
      Math.max(0, deadline - Date.now()),
    );
    process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt);
    child.once('error', (error) => console.error(`run-tests: ${program} could not be started: ${error.message}`));
    child.once('close', (code) => {
      clearTimeout(timer);
      process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt);
      resolve(code === 0);
    });
  });
}

const filters = process.argv.slice(2);
const files = globSync('{src,test,tools}/**/*.test.ts', { cwd: root })
  .sort()
  .filter((file) => filters.length === 0 || filters.some((part) => file.split(sep).join('/').includes(part)));
const withKernels = filters.length === 0 || filters.includes('native');

if (files.length === 0 && !withKernels) {
  console.error(`run-tests: no test file's path contains ${filters.map((part) => `"${part}"`).join(' or ')}`);
  process.exit(1);
}

let hasPassed = await run(process.execPath, [join('tools', 'build-native.ts')], root);
if (hasPassed && withKernels) hasPassed = await run('cargo', ['test', '--release', '--locked'], native);
if (files.length > 0) {
  const nodeArgs = [
    '--test',
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${FILE_LIMIT_MS}`,
    // For people on a terminal; elsewhere TAP, whose closing lines (# tests, # pass, # fail) other programs read.
    `--test-reporter=${process.stdout.isTTY ? 'spec' : 'tap'}`,
    ...files,
  ];
  const haveTestsPassed = await run(process.execPath, nodeArgs, root);
  hasPassed &&= haveTestsPassed;
}
process.exitCode = hasPassed ? 0 : 1;
