/**
 * What holds for console/: it talks to the HTTP API and to nothing else of the program, so that all it takes from src/ are the types of
 * `src/http/wire`; nothing is written into its page, which the page's policy would not let in; names and sizes are those of src/.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import type { RoomProblem } from './check-rooms.ts';
import { findImports, lineAt, scanSource } from './source-text.ts';

const MAX_LINES = 400;
const KEBAB_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+)*$/;
const WIRE = /^src\/http\/wire\/[a-z-]+\.ts$/;
const BROWSER_ONLY = /\bfrom\s+'node:/g;
/** What the policy of the page refuses, or what would send a key elsewhere. */
const FORBIDDEN: readonly (readonly [RegExp, string])[] = [
  [/dangerouslySetInnerHTML|\.innerHTML\b/g, 'writes HTML: let React make it'],
  [/\blocalStorage\b/g, 'keeps something beyond the tab: a key must go with it'],
  [/['"`]https?:\/\//g, 'names another host: the console asks its own server only'],
];

/** @param root the folder that holds src/ and console/ */
export function checkConsole(root: string): RoomProblem[] {
  if (!existsSync(join(root, 'console'))) return [];
  const problems: RoomProblem[] = [];
  for (const path of globSync('console/src/**/*.{ts,tsx}', { cwd: root }).sort()) {
    const file = path.replaceAll('\\', '/');
    const source = readFileSync(join(root, file), 'utf8');
    const report = (line: number, message: string): void => {
      problems.push({ severity: 'error', where: `${file}:${line}`, message });
    };
    if (!KEBAB_NAME.test(basename(file))) report(1, `${basename(file)} is not kebab-case`);
    const lines = source.split('\n').length - 1;
    if (lines > MAX_LINES) report(lines, `${lines} lines, at most ${MAX_LINES}: split it by subject`);
    for (const site of findImports(scanSource(source))) {
      if (!site.specifier.startsWith('.')) continue;
      const target = posix.join(posix.dirname(file), site.specifier);
      if (target.startsWith('console/src/')) continue;
      if (!WIRE.test(target))
        report(site.line, `imports ${target}: of the program it knows the shapes of http/wire only`);
      else if (!site.isTypeOnly) report(site.line, `may import only types of ${target}: write "import type"`);
    }
    for (const match of source.matchAll(BROWSER_ONLY)) report(lineAt(source, match.index), 'imports a part of Node');
    for (const [pattern, message] of FORBIDDEN) {
      for (const match of source.matchAll(pattern)) report(lineAt(source, match.index), message);
    }
  }
  const page = join(root, 'console', 'index.html');
  if (existsSync(page) && /<style|<script(?![^>]*\ssrc=)|\son[a-z]+=/.test(readFileSync(page, 'utf8'))) {
    problems.push({ severity: 'error', where: 'console/index.html:1', message: 'holds a script or a style itself' });
  }
  return problems;
}
