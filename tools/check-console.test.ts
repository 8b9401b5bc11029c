import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkConsole } from './check-console.ts';

const SOUND: Record<string, string> = {
  'console/index.html': '<!doctype html><div id="root"></div><script type="module" src="./src/main.tsx"></script>\n',
  'console/src/main.tsx': "import { a } from './api/types.ts';\nexport const App = () => <p>It’s {a}</p>;\n",
  'console/src/api/types.ts':
    "import type { jobObject } from '../../../src/http/wire/fine-tuning.ts';\nexport const a = 1;\nexport type J = typeof jobObject;\n",
};

function problemsOf(changes: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'check-console-'));
  try {
    for (const [path, text] of Object.entries({ ...SOUND, ...changes })) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return checkConsole(root).map(({ where, message }) => `${where} ${message}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('a sound console has no problem, nor has a project without one', () => {
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(checkConsole(join(tmpdir(), 'there-is-no-such-folder')), []);
});

const main = (text: string) => ({ 'console/src/main.tsx': text });
const MUTANTS: readonly [name: string, changes: Record<string, string>, expected: RegExp][] = [
  [
    'a schema by value',
    main("import { jobObject } from '../../src/http/wire/fine-tuning.ts';\nexport { jobObject };\n"),
    /main\.tsx:1 may import only types of src\/http\/wire/,
  ],
  [
    'the server itself',
    main("import type { Services } from '../../src/http/services.ts';\nexport type S = Services;\n"),
    /main\.tsx:1 imports src\/http\/services\.ts/,
  ],
  ['a part of Node', main("import { join } from 'node:path';\nexport { join };\n"), /imports a part of Node/],
  ['written HTML', main('export const App = () => <p dangerouslySetInnerHTML={{ __html: "x" }} />;\n'), /writes HTML/],
  ['a key that stays', main("localStorage.setItem('key', 'x');\n"), /keeps something beyond the tab/],
  ['another host', main("export const font = 'https://fonts.example/a.css';\n"), /names another host/],
  ['a name in camel case', { 'console/src/jobPage.tsx': 'export {};\n' }, /jobPage\.tsx is not kebab-case/],
  ['a long file', main('//\n'.repeat(401)), /401 lines, at most 400/],
  ['a script in the page', { 'console/index.html': '<script>alert(1)</script>\n' }, /index\.html:1 holds a script/],
];

for (const [name, changes, expected] of MUTANTS) {
  test(`finds ${name}, and nothing else`, () => {
    const problems = problemsOf(changes);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0], expected);
  });
}
