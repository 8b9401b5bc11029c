import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { EspalierError } from '../base/index.ts';
import { reportError } from './output.ts';

let written: string;
beforeEach(() => {
  written = '';
  mock.method(process.stderr, 'write', (text: string) => {
    written += text;
    return true;
  });
});
afterEach(() => mock.restoreAll());

const problemsOf = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ where: `a.jsonl:${n + 1}`, message: `is wrong (line ${n + 1})` }));
const textOf = (problems: readonly { where: string; message: string }[]): string =>
  problems.map(({ where, message }) => `${where}: ${message}`).join('\n');

test('what a message lists itself is not said twice', () => {
  const [one] = problemsOf(1);
  assert.equal(reportError(new EspalierError('DATA_INVALID', textOf([one]), { problems: [one] }), {}), 1);
  assert.equal(written, 'espalier: a.jsonl:1: is wrong (line 1)\n');
  written = '';
  const three = problemsOf(3);
  const message = `a.jsonl has 3 problems:\n${textOf(three)}`;
  reportError(new EspalierError('DATA_INVALID', message, { problems: three }), {});
  assert.equal(written, `espalier: ${message}\n`);
});

test('of many problems the first twenty are listed under the headline, and the rest is counted', () => {
  const problems = problemsOf(30);
  const message = `a.jsonl has 30 problems:\n${textOf(problems.slice(0, 5))}\nand 25 more`;
  reportError(new EspalierError('DATA_INVALID', message, { problems }), {});
  const lines = written.trimEnd().split('\n');
  assert.deepEqual([lines[0], lines.length], ['espalier: a.jsonl has 30 problems:', 22]);
  assert.deepEqual([lines[1], lines.at(-2)], ['  a.jsonl:1: is wrong (line 1)', '  a.jsonl:20: is wrong (line 20)']);
  assert.equal(lines.at(-1), '  and 10 more (--json lists all)');
});

test('a path that the system refuses is told without a stack, our own bug with it', () => {
  const refused = Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'mkdir', path: '/made-up/x' });
  reportError(refused, {});
  assert.equal(written, 'espalier: permission denied (EACCES: mkdir /made-up/x)\n');
  reportError(new TypeError('x is undefined'), {});
  assert.match(written, /TypeError: x is undefined\n {4}at /);
});
