/** The documents' programs compile as a reader would copy them. */
import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { checkSnippets, documentedModules, moduleOf } from './check-snippets.ts';

const root = dirname(import.meta.dirname);

test('every program of README, docs and examples compiles', () => {
  const modules = documentedModules(root);
  assert.ok(modules.size >= 4, [...modules.keys()].join());
  for (const path of ['README.md', 'docs/openai-migration.md', 'docs/guides/ml-engineer.md'])
    assert.ok(modules.has(path));
  assert.deepEqual(checkSnippets(root, modules), []);
});

test('a program that does not compile is found, in its line', () => {
  const document = (...lines: string[]): string =>
    moduleOf(['# A', '```ts', ...lines, '```', '```sh', 'nonsense(', '```'].join('\n'));
  const client =
    "import { EspalierClient } from 'espalier/client'; const client = new EspalierClient({ baseUrl: '' });";
  const wrong: Record<string, [document: string, line: number, expected: RegExp]> = {
    'docs/name.md': [document("import { trainAdaptor } from 'espalier';"), 3, /trainAdaptor/],
    'docs/operation.md': [
      document(client, "await client.call('promote', { path: { task: 'a' }, body: { version: 1 } });"),
      4,
      /promote/,
    ],
    'docs/field.md': [
      document(client, "await client.call('promoteTask', { path: { task: 'a' }, body: { vers: 1 } });"),
      4,
      /vers/,
    ],
    'docs/answer.md': [document(client, "(await client.call('listPrices')).data[0].promt;"), 4, /promt/],
    'docs/unmade.md': [document('await client.models.list();'), 3, /client/],
    'docs/package.md': [document("import left from 'left-pad';"), 3, /left-pad/],
    'docs/other.md': [document("import OpenAI from 'openai';", "new OpenAI({ baseUrl: 'x' });"), 4, /baseUrl/],
  };
  const problems = checkSnippets(root, new Map(Object.entries(wrong).map(([path, [source]]) => [path, source])));
  for (const [path, [, line, expected]] of Object.entries(wrong)) {
    const found = problems.filter(({ where }) => where.startsWith(path));
    assert.deepEqual(
      found.map(({ where }) => where),
      [`${path}:${line}`],
    );
    assert.match(found[0].message, expected);
  }
  assert.equal(problems.length, Object.keys(wrong).length);
});

test('blocks of one document are one module; what is no TypeScript is none of it', () => {
  const text = moduleOf('```ts\nconst a = 1;\n```\nprose\n```json\n{}\n```\n```ts\na + 1;\n```\n');
  assert.equal(text, '\nconst a = 1;\n\n\n\n\n\n\na + 1;\n\n');
});
