/**
 * Holds the house to its plan (ARCHITECTURE.md): every room has its card, imports go down the floors and through a
 * room's index.ts, each power (time, randomness, environment, printing, addon, database) has one owner, files stay small
 * and are well named, and the documents name only what exists. All problems are reported together as file:line; the
 * exit code is 1 when one of them is an error.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix, relative } from 'node:path';
import { checkConsole } from './check-console.ts';
import { checkDocuments } from './check-documents.ts';
import { findImports, findUrls, lineAt, scanSource } from './source-text.ts';
import type { ImportSite, SourceText } from './source-text.ts';

export interface RoomProblem {
  readonly severity: 'error' | 'warning';
  /** `src/serving/scheduling/scheduler.ts:12`. */
  readonly where: string;
  readonly message: string;
}

interface SourceFile {
  /** Relative to src/, with forward slashes: `serving/scheduling/scheduler.ts`. */
  readonly path: string;
  readonly room: string;
  readonly source: string;
  readonly text: SourceText;
}

const MAX_LINES = 400;
const WARN_LINES = 300;

const LOWER_ROOMS = ['base', 'numeric', 'formats', 'storage', 'adapters', 'model', 'text', 'grammar'];
const MIDDLE_ROOMS = [
  'training',
  'serving',
  'registry',
  'delivery',
  'tenancy',
  'audit',
  'jobs',
  'planning',
  'hub',
  'demo',
];

/** What each room may import; rooms of the middle floor never import one another. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  client: [],
  numeric: ['base'],
  formats: ['base'],
  storage: ['base'],
  text: ['formats', 'base'],
  grammar: ['numeric', 'formats', 'base'],
  model: ['numeric', 'formats', 'base'],
  adapters: ['model', 'numeric', 'formats', 'base'],
  ...Object.fromEntries(MIDDLE_ROOMS.map((room) => [room, LOWER_ROOMS])),
  http: ['formats', 'base'],
  app: [...LOWER_ROOMS, ...MIDDLE_ROOMS, 'http'],
  cli: ['app', 'base'],
};

/** Rooms whose types, and only types, may be named. */
const MAY_IMPORT_TYPES: Record<string, readonly string[]> = { http: MIDDLE_ROOMS };

/** Files of other rooms that `app` starts as a worker thread or a child process, by URL. */
const isEntryFile = (path: string): boolean => path === 'training/child.ts' || /(?:^|[/-])worker\.ts$/.test(path);

interface Power {
  readonly what: string;
  readonly owner: RegExp;
  readonly pattern: RegExp;
  readonly inStrings?: boolean;
  readonly instead: string;
}

const POWERS: readonly Power[] = [
  {
    what: 'reads time',
    owner: /^base\/clock\.ts$/,
    pattern:
      /\bDate\.now\b|\bnew Date(?!\()|\bnew Date\(\s*\)|(?<!new )\bDate\(|\bperformance\s*\.|\bprocess\.hrtime\b/g,
    instead: 'take a Clock from base',
  },
  {
    what: 'makes randomness',
    owner: /^base\/(?:rng|ids)\.ts$/,
    pattern: /\bMath\.random\b|\b(?:randomBytes|randomUUID|randomInt|randomFill(?:Sync)?|getRandomValues)\b/g,
    instead: 'take an Rng or newId from base',
  },
  {
    what: 'reads the environment',
    owner: /^(?:app\/config|cli\/main)\.ts$/,
    pattern: /\bprocess\.env\b/g,
    instead: 'let app/config.ts read it and pass the value',
  },
  {
    what: 'prints',
    owner: /^cli\//,
    pattern: /\bconsole\s*\.|\bprocess\.(?:stdout|stderr)\b/g,
    instead: 'return the text, or take a Log from base',
  },
  {
    what: 'loads an addon',
    owner: /^numeric\/native[a-z-]*\.ts$/,
    pattern: /\bprocess\.dlopen\b|\.node['"`]/g,
    inStrings: true,
    instead: 'call numeric, which loads it',
  },
  {
    what: 'opens a database',
    owner: /^storage\//,
    pattern: /['"]node:sqlite['"]/g,
    inStrings: true,
    instead: 'take a Database from storage',
  },
];

const FORBIDDEN_WORDS = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'misc', 'manager', 'managers']);
const FORBIDDEN_CLASS = /\bclass\s+(Base(?!Model\b)[A-Z]\w*|\w*(?:Manager|Helper|Utils?))\b/g;
const KEBAB_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/;

/** Checks the tree under `root` (the folder that holds src/). */
export function checkRooms(root: string): RoomProblem[] {
  const problems: RoomProblem[] = [];
  const report = (severity: RoomProblem['severity'], path: string, line: number, message: string): void => {
    problems.push({ severity, where: `${posix.join('src', path)}:${line}`, message });
  };
  const files = readSources(join(root, 'src'));
  const codes = knownErrorCodes(files);
  for (const room of new Set(files.map((file) => file.room).filter((name) => name !== ''))) {
    const index = files.find((file) => file.path === `${room}/index.ts`);
    const card = index === undefined ? undefined : parseCard(index.source, room);
    if (MAY_IMPORT[room] === undefined) report('error', room, 1, `room ${room} is on no floor (tools/check-rooms.ts)`);
    else if (index === undefined) report('error', room, 1, `room ${room} has no index.ts: it needs one with its card`);
    else if (typeof card === 'string') report('error', index.path, 1, card);
    else if (card !== undefined) {
      for (const message of cardProblems(card, room, codes)) report('error', index.path, 1, message);
    }
    const declared = typeof card === 'object' ? card.mayImport : undefined;
    for (const file of files.filter((candidate) => candidate.room === room && !isTest(candidate.path))) {
      for (const site of findImports(file.text)) {
        const message = importProblem(file, site, declared);
        if (message !== undefined) report('error', file.path, site.line, message);
      }
      for (const [line, code] of thrownCodes(file.text)) {
        if (typeof card !== 'object' || card.throws.includes(code) || code === 'INTERNAL') continue;
        report('error', file.path, line, `throws ${code}, which the card of ${room} lacks`);
      }
      for (const site of findUrls(file.text)) {
        const message = urlProblem(file, site);
        if (message !== undefined) report('error', file.path, site.line, message);
      }
    }
  }
  for (const file of files) checkFile(file, report);
  return problems;
}

function readSources(src: string): SourceFile[] {
  return globSync('**/*.ts', { cwd: src })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .map((path) => {
      const source = readFileSync(join(src, path), 'utf8');
      return { path, room: path.includes('/') ? path.split('/')[0] : '', source, text: scanSource(source) };
    });
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');

function knownErrorCodes(files: readonly SourceFile[]): ReadonlySet<string> {
  const table = files.find((file) => file.path === 'base/errors.ts')?.text.codeOnly ?? '';
  return new Set([...table.matchAll(/^ {2}([A-Z][A-Z_]*): \{/gm)].map((match) => match[1]));
}

/** The codes of `fail('CODE', …)`, with their lines. */
function thrownCodes({ withStrings }: SourceText): [line: number, code: string][] {
  return [...withStrings.matchAll(/\bfail\(\s*'([A-Z_]+)'/g)].map((match) => [
    lineAt(withStrings, match.index),
    match[1],
  ]);
}

interface Card {
  readonly mayImport: readonly string[];
  readonly throws: readonly string[];
}

/** The card that opens a room's index.ts, or what is wrong with it. A section may run over several lines. */
function parseCard(source: string, room: string): Card | string {
  const comment = /^\/\*\*\n([\s\S]*?)\n? *\*\//.exec(source)?.[1];
  if (comment === undefined) return `index.ts must begin with the card of room ${room} (/** ${room}: what it does …)`;
  const lines = comment.split('\n').map((line) => line.replace(/^ ?\* ?/, ''));
  if (!lines[0]?.startsWith(`${room}: `)) return `the card's first line must be "${room}: what it does"`;
  const missing = ['Owns', 'May import', 'Runs on', 'Throws'].filter(
    (title) => !lines.some((line) => line.startsWith(`${title}: `)),
  );
  if (!/\bCalled by: /.test(comment)) missing.push('Called by');
  if (missing.length > 0) return `the card lacks ${missing.map((title) => `"${title}:"`).join(', ')}`;
  const flat = lines.join(' ');
  const mayImport = /May import: (.*?)\.\s+Called by: /.exec(flat)?.[1];
  if (mayImport === undefined) return 'the card\'s line must read "May import: ROOM ROOM.   Called by: …."';
  const section = mayImport === 'everything below' ? (MAY_IMPORT[room] ?? []).join(' ') : mayImport;
  const words = section.match(/[a-z]+/g) ?? [];
  return {
    mayImport: words.filter((word) => !['nothing', 'types', 'of', 'and', 'only', 'node', 'the'].includes(word)),
    throws: (/Throws: (.*)$/.exec(flat)?.[1] ?? '').match(/\b[A-Z][A-Z_]{3,}\b/g) ?? [],
  };
}

function cardProblems(card: Card, room: string, codes: ReadonlySet<string>): string[] {
  const allowed = [...(MAY_IMPORT[room] ?? []), ...(MAY_IMPORT_TYPES[room] ?? [])];
  return [
    ...card.mayImport
      .filter((name) => !allowed.includes(name))
      .map(
        (name) => `the card says that ${room} may import ${name}, the floors allow: ${allowed.join(' ') || 'nothing'}`,
      ),
    ...card.throws
      .filter((code) => !codes.has(code))
      .map((code) => `the card throws ${code}, which base/errors.ts does not have`),
  ];
}

/** What is wrong with one import of a room's file, if anything. */
function importProblem(
  file: SourceFile,
  site: ImportSite,
  declared: readonly string[] | undefined,
): string | undefined {
  if (!site.specifier.startsWith('.')) return undefined;
  const target = posix.join(posix.dirname(file.path), site.specifier);
  if (target.startsWith('..')) return `imports ${site.specifier}, which is outside src/`;
  const room = target.includes('/') ? target.split('/')[0] : '';
  if (room === file.room) return undefined;
  if (room === '') return `imports ${site.specifier}: a room never imports the library's own index.ts`;
  const byValue = MAY_IMPORT[file.room] ?? [];
  const byType = MAY_IMPORT_TYPES[file.room] ?? [];
  if (!byValue.includes(room)) {
    if (!byType.includes(room)) return `${file.room} may not import ${room}: imports go down the floors only`;
    if (!site.isTypeOnly) return `${file.room} may import only types of ${room}: write "import type"`;
  }
  if (target !== `${room}/index.ts`) return `enters ${room} by ${target}: a room is entered by its index.ts`;
  if (declared !== undefined && !declared.includes(room))
    return `imports ${room}, which the card of ${file.room} lacks`;
  return undefined;
}

/** A worker or child entry of another room may be named by URL only in app. */
function urlProblem(file: SourceFile, site: ImportSite): string | undefined {
  const target = posix.join(posix.dirname(file.path), site.specifier);
  if (!target.endsWith('.ts') || target.startsWith(`${file.room}/`)) return undefined;
  if (file.room === 'app' && isEntryFile(target)) return undefined;
  return `names ${target} by URL: only app starts another room's worker.ts or training/child.ts`;
}

type Report = (severity: RoomProblem['severity'], path: string, line: number, message: string) => void;

/** Powers, size and names of one file. Tests may use every power. */
function checkFile(file: SourceFile, report: Report): void {
  for (const segment of file.path.split('/')) {
    if (!KEBAB_NAME.test(segment)) report('error', file.path, 1, `${segment} is not kebab-case`);
    const word = segment.split(/[-.]/).find((part) => FORBIDDEN_WORDS.has(part));
    if (word !== undefined) report('error', file.path, 1, `"${word}" names no subject: name what the file holds`);
  }
  if (isTest(file.path)) return;
  for (const power of POWERS) {
    if (power.owner.test(file.path)) continue;
    for (const match of (power.inStrings ? file.text.withStrings : file.text.codeOnly).matchAll(power.pattern)) {
      const line = lineAt(file.source, match.index);
      report('error', file.path, line, `${power.what} (${match[0]}): ${power.instead}`);
    }
  }
  for (const match of file.text.codeOnly.matchAll(FORBIDDEN_CLASS)) {
    report('error', file.path, lineAt(file.source, match.index), `class ${match[1]} names no subject`);
  }
  // What a program writes is read by nobody.
  if (file.source.startsWith('// Generated by ')) return;
  const lines = file.source.split('\n').length - 1;
  if (lines > MAX_LINES) report('error', file.path, lines, `${lines} lines, at most ${MAX_LINES}: split it by subject`);
  else if (lines > WARN_LINES) report('warning', file.path, lines, `${lines} lines, better at most ${WARN_LINES}`);
}

/** The names of the files outside src/: the same rules of naming, nothing else. */
export function checkNames(root: string): RoomProblem[] {
  return ['test', 'tools', 'bench']
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
    .filter((path) => !KEBAB_NAME.test(basename(path)))
    .map((path) => ({ severity: 'error', where: `${path}:1`, message: `${basename(path)} is not kebab-case` }));
}

if (import.meta.main) {
  const root = dirname(import.meta.dirname);
  const problems = [...checkRooms(root), ...checkNames(root), ...checkConsole(root), ...checkDocuments(root)];
  for (const { severity, where, message } of problems) console.error(`${severity}: ${where}: ${message}`);
  const errors = problems.filter((problem) => problem.severity === 'error').length;
  console.log(
    `check-rooms: ${relative(process.cwd(), root) || '.'}: ${errors} errors, ${problems.length - errors} warnings`,
  );
  process.exitCode = errors > 0 ? 1 : 0;
}
