import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errorMessage, isPathError } from './errors.ts';

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return assert.fail('it throws');
}

test('what the system refuses is told in words, with the path and its own code', () => {
  const taken = thrownBy(() => mkdirSync(import.meta.filename));
  assert.equal(errorMessage(taken), `a file of that name is there already (EEXIST: mkdir ${import.meta.filename})`);
  const inside = thrownBy(() => readFileSync(`${import.meta.filename}/x`));
  assert.match(
    errorMessage(inside),
    /^a part of the path is a file, not a folder \(ENOTDIR: open .*errors\.test\.ts\/x\)$/,
  );
  assert.ok(isPathError(taken) && !isPathError(new Error('no')));
});

test('other errors keep their own text', () => {
  assert.equal(errorMessage(new TypeError('x is undefined')), 'x is undefined');
  const odd = Object.assign(new Error('EODD: odd, open /x'), { code: 'EODD', syscall: 'open', path: '/x' });
  assert.equal(errorMessage(odd), 'EODD: odd, open /x');
  assert.equal(errorMessage('text'), 'text');
});
