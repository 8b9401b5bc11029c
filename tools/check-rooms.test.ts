import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkNames, checkRooms } from './check-rooms.ts';

const card = (room: string, mayImport: string, calledBy = 'somebody', throws = 'INTERNAL'): string =>
  `/**\n * ${room}: does its work.\n * Owns: its files.\n * May import: ${mayImport}.   Called by: ${calledBy}.\n` +
  ` * Runs on: any thread.\n * Throws: ${throws}.\n */\n`;

/** A small house in which nothing is wrong; each mutant changes one file of it. */
const SOUND: Record<string, string> = {
  'src/base/index.ts': `${card('base', 'nothing')}export * from './errors.ts';\n`,
  'src/base/errors.ts': `export const ERRORS = {\n  INTERNAL: { kind: 'internal' },\n};\n`,
  'src/base/clock.ts': `export const now = (): number => Date.now();\n`,
  'src/base/rng.ts': `export const random = (): number => Math.random();\n`,
  'src/numeric/index.ts': `${card('numeric', 'base')}export * from './native.ts';\n`,
  'src/numeric/native.ts': `import { ERRORS } from '../base/index.ts';\nexport const a = [ERRORS, 'espalier.node'];\n`,
  'src/serving/index.ts': `${card('serving', 'base numeric')}import '../numeric/index.ts';\nexport type S = 1;\n`,
  'src/serving/engine-worker.ts': `// console.log and process.env in a comment\nexport const text = 'Math.random()';\n`,
  'src/training/index.ts': `${card('training', 'base')}export const t = 1;\n`,
  'src/training/child.ts': 'export {};\n',
  'src/http/index.ts': `${card('http', 'base; types of serving')}import type { S } from '../serving/index.ts';\nexport type H = S;\n`,
  'src/app/index.ts': `${card('app', 'everything below')}export const url = new URL('../training/child.ts', import.meta.url);\n`,
  'src/app/config.ts': `export const home = process.env['HOME'];\n`,
  'src/cli/index.ts': `${card('cli', 'base app')}import '../app/index.ts';\nconsole.log('hello');\n`,
  'src/index.ts': `export * from './serving/index.ts';\n`,
};

function problemsOf(changes: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'check-rooms-'));
  try {
    for (const [path, text] of Object.entries({ ...SOUND, ...changes })) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return [...checkRooms(root), ...checkNames(root)].map((p) => `${p.severity} ${p.where} ${p.message}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('a sound house has no problem', () => {
  assert.deepEqual(problemsOf({}), []);
});

const MUTANTS: readonly [name: string, changes: Record<string, string>, expected: RegExp][] = [
  [
    'a room without a card',
    { 'src/serving/index.ts': 'export {};\n' },
    /serving\/index\.ts:1 index\.ts must begin with the card/,
  ],
  ['a room without index.ts', { 'src/text/x.ts': 'export {};\n' }, /src\/text:1 room text has no index\.ts/],
  ['an unknown room', { 'src/attic/index.ts': card('attic', 'base') }, /attic:1 room attic is on no floor/],
  [
    'a card of another name',
    { 'src/training/index.ts': card('trainer', 'base') },
    /training\/index\.ts:1 the card's first line/,
  ],
  [
    'a card without a line',
    { 'src/training/index.ts': card('training', 'base').replace(/ \* Runs on.*\n/, '') },
    /the card lacks "Runs on:"/,
  ],
  [
    'a card that allows what the floors forbid',
    { 'src/numeric/index.ts': card('numeric', 'base serving') },
    /the card says that numeric may import serving/,
  ],
  [
    'a card with an unknown code',
    { 'src/training/index.ts': card('training', 'base', 'app', 'INTERNAL NO_SUCH_CODE') },
    /the card throws NO_SUCH_CODE/,
  ],
  [
    'a code that the card lacks',
    { 'src/training/child.ts': "\nfail(\n  'DATA_INVALID', 'x');\nfail('INTERNAL', 'y');\n" },
    /training\/child\.ts:2 throws DATA_INVALID, which the card of training lacks/,
  ],
  [
    'an import that climbs',
    { 'src/numeric/native.ts': "\nimport '../serving/index.ts';\n" },
    /numeric\/native\.ts:2 numeric may not import serving/,
  ],
  [
    'a dynamic import that climbs',
    { 'src/base/rng.ts': "export const x = () => import('../numeric/index.ts');\n" },
    /base\/rng\.ts:1 base may not import numeric/,
  ],
  [
    'a re-export from a neighbour of the same floor',
    { 'src/training/child.ts': "export { type S } from '../serving/index.ts';\n" },
    /training may not import serving/,
  ],
  [
    'a room entered by a side door',
    { 'src/serving/engine-worker.ts': "import { a } from '../numeric/native.ts';\nexport const b = a;\n" },
    /enters numeric by numeric\/native\.ts/,
  ],
  [
    'an import that the card lacks',
    { 'src/training/child.ts': "import '../numeric/index.ts';\n" },
    /imports numeric, which the card of training lacks/,
  ],
  [
    'http importing a value',
    { 'src/http/server.ts': "import { s } from '../serving/index.ts';\nexport const b = s;\n" },
    /http\/server\.ts:1 http may import only types of serving/,
  ],
  [
    "the library's index from within",
    { 'src/app/start.ts': "import '../index.ts';\n" },
    /never imports the library's own/,
  ],
  ['an import from outside src', { 'src/app/start.ts': "import '../../tools/x.ts';\n" }, /which is outside src/],
  [
    "another room's worker by URL",
    { 'src/serving/client.ts': "export const u = new URL('../training/child.ts', import.meta.url);\n" },
    /serving\/client\.ts:1 names training\/child\.ts by URL/,
  ],
  ['time', { 'src/app/start.ts': '\n\nexport const t = Date.now();\n' }, /app\/start\.ts:3 reads time \(Date\.now\)/],
  ['time by new Date()', { 'src/app/start.ts': 'export const t = new Date();\n' }, /reads time/],
  ['time by performance', { 'src/app/start.ts': 'export const t = performance.now();\n' }, /reads time/],
  ['time in a template', { 'src/app/start.ts': 'export const t = `${Date.now()}`;\n' }, /reads time/],
  ['randomness', { 'src/app/start.ts': 'export const t = Math.random();\n' }, /makes randomness/],
  [
    'randomness of node:crypto',
    { 'src/app/start.ts': "import * as crypto from 'node:crypto';\nexport const t = crypto.randomUUID();\n" },
    /makes randomness/,
  ],
  ['the environment', { 'src/app/start.ts': "export const t = process.env['A'];\n" }, /reads the environment/],
  ['printing', { 'src/app/start.ts': "console.error('x');\n" }, /prints \(console\.\)/],
  ['printing to a stream', { 'src/app/start.ts': "process.stdout.write('x');\n" }, /prints \(process\.stdout\)/],
  ['an addon', { 'src/serving/client.ts': "export const a = require('./x.node');\n" }, /loads an addon/],
  [
    'a database',
    { 'src/serving/client.ts': "import { DatabaseSync } from 'node:sqlite';\nexport const d = DatabaseSync;\n" },
    /serving\/client\.ts:1 opens a database/,
  ],
  ['a long file', { 'src/app/start.ts': '//\n'.repeat(401) }, /error src\/app\/start\.ts:401 401 lines, at most 400/],
  ['a longish file', { 'src/app/start.ts': '//\n'.repeat(301) }, /warning src\/app\/start\.ts:301 301 lines/],
  ['a name in camel case', { 'src/app/startUp.ts': 'export {};\n' }, /startUp\.ts is not kebab-case/],
  ['a test in camel case', { 'test/journeys/startUp.test.ts': 'export {};\n' }, /startUp\.test\.ts is not kebab-case/],
  ['a folder of utils', { 'src/app/utils/x.ts': 'export {};\n' }, /"utils" names no subject/],
  ['a file of helpers', { 'src/app/test-helpers.ts': 'export {};\n' }, /"helpers" names no subject/],
  [
    'a Base class',
    { 'src/app/start.ts': 'export abstract class BaseRunner {}\n' },
    /class BaseRunner names no subject/,
  ],
  ['a manager', { 'src/app/start.ts': 'export class SlotManager {}\n' }, /class SlotManager names no subject/],
];

for (const [name, changes, expected] of MUTANTS) {
  test(`finds ${name}, and nothing else`, () => {
    const problems = problemsOf(changes);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0], expected);
  });
}

test('finds all problems together', () => {
  const problems = problemsOf({
    'src/app/start.ts': 'export const t = Date.now();\nconsole.log(t);\n',
    'src/base/rng.ts': "import '../numeric/index.ts';\n",
  });
  assert.equal(problems.length, 3, problems.join('\n'));
});

test('code that only looks forbidden is left alone', () => {
  const source = [
    "export const a = 'Date.now()'; // Date.now()",
    '/* console.log(process.env) */',
    'export const b = /console\\.log|"Math.random"/.test(a);',
    'export const c = `process.env ${a} Math.random()`;',
    'export const d = 6 / 3 / Number(a.length); // a division, not a literal',
    'export const e = new Date(0).toISOString();',
    'export interface BaseModel { readonly name: string }',
    'export class BaseModel {}',
  ].join('\n');
  assert.deepEqual(problemsOf({ 'src/app/start.ts': `${source}\n` }), []);
});
