/** The programs of examples/, each run as it stands, on a tiny base in a home of its own. */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { run, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = new TemporaryFolder();
before(() => writeTinyBase(folder.join('tiny')));
after(() => folder[Symbol.dispose]());

interface Example {
  readonly args: readonly string[];
  /** What it prints, in this order. */
  readonly prints: readonly RegExp[];
}

const EXAMPLES: Readonly<Record<string, Example>> = {
  plan: { args: ['7b'], prints: [/llama/i, /rank 64: \d+ parameters each, [\d.]+ GB for a thousand/] },
  train: {
    args: [folder.join('tiny'), '4'],
    prints: [/published acme\/triage@1: \d+ of \d+/, /the adapter: \d+ % right/, /-> /, /acme\/triage@1 sha256:/],
  },
  'fine-tune': {
    args: [folder.join('tiny')],
    prints: [/successfully completed/, /^ft:tiny:/m],
  },
  deliver: {
    args: [folder.join('tiny')],
    prints: [
      /the newest answers: shop-\d+\/greet@2 20$/m,
      /a fifth for version 2: shop-\d+\/greet@\d \d+, shop-\d+\/greet@\d \d+$/m,
      /all for version 2: shop-\d+\/greet@2 20$/m,
      /back: shop-\d+\/greet@1 20$/m,
      /404 model_not_found/,
    ],
  },
};

test('every example is tested, and stands in their list', async () => {
  const names = globSync('*.ts', { cwd: join(root, 'examples') }).map((path) => basename(path, '.ts'));
  assert.deepEqual(names.sort(), Object.keys(EXAMPLES).sort());
});

for (const [name, { args, prints }] of Object.entries(EXAMPLES)) {
  test(`examples/${name}.ts runs`, async () => {
    const program = [process.execPath, '--conditions=espalier-source'] as const;
    const file = join(root, 'examples', `${name}.ts`);
    const { code, stdout, stderr } = await run([file, ...args], { home: folder.join('home'), command: [...program] });
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    let rest = stdout;
    for (const printed of prints) {
      const match = printed.exec(rest);
      assert.ok(match, `${printed} in ${stdout}`);
      rest = rest.slice(match.index + match[0].length);
    }
  });
}
