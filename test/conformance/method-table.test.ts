/** The README's table of PEFT methods is the code's. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { METHODS, TRAINABLE_METHODS } from '../../src/adapters/index.ts';

test('README lists every method, its peft_type, and whether it can be trained', () => {
  const readme = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
  const rows = [...readme.matchAll(/^\| `([a-z0-9-]+)` +\| `([A-Z0-9_]+)`[^|]*\| (yes|no) +\| yes +\|/gm)].map(
    ([, name, peftType, isTrained]) => ({ name, peftType, isTrained }),
  );
  const expected = METHODS.map(({ name, peftType }) => ({
    name,
    peftType,
    isTrained: TRAINABLE_METHODS.some((method) => method.name === name) ? 'yes' : 'no',
  }));
  assert.deepEqual(rows, expected);
  const counts = `${METHODS.length} / ${TRAINABLE_METHODS.length}`;
  assert.ok(readme.includes(`| ${counts} `), `the comparison says ${counts}`);
});
