/**
 * The programs of the documents compile. All ```ts blocks of a document are one module, in their order, so that a later block may use what
 * an earlier one made and nothing else: what a reader who copies them would have. A line of the module is the document's line.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { CommandProblem } from './check-commands.ts';

const DOCUMENTS = ['README.md', 'docs/*.md', 'docs/guides/*.md', 'docs/decisions/*.md', 'examples/README.md'];
/** What the documents' programs may import beside `espalier`, as a reader would have installed it. */
const INSTALLED = ['openai', '@types'];

/** The modules of all documents that have any code, by the document's path. */
export function documentedModules(root: string): ReadonlyMap<string, string> {
  const modules = DOCUMENTS.flatMap((pattern) => globSync(pattern, { cwd: root }))
    .sort()
    .map((path) => [path, moduleOf(readFileSync(join(root, path), 'utf8'))] as const);
  return new Map(modules.filter(([, source]) => source.trim() !== ''));
}

/** The ```ts blocks of a document where they stand, with every other line empty. */
export function moduleOf(document: string): string {
  let isCode = false;
  const lines = document.split('\n').map((line) => {
    if (/^\s*```/.test(line)) {
      isCode = !isCode && /^\s*```ts\s*$/.test(line);
      return '';
    }
    return isCode ? line : '';
  });
  return lines.join('\n');
}

/**
 * What the compiler says of modules, strictly, with `espalier` and `espalier/client` as the sources under `root`.
 * @param modules sources by the path of their document
 */
export function checkSnippets(root: string, modules: ReadonlyMap<string, string>): CommandProblem[] {
  const folder = mkdtempSync(join(tmpdir(), 'snippets-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'espalier'));
    for (const name of INSTALLED) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
    for (const [path, source] of modules) {
      const file = join(folder, fileOf(path));
      mkdirSync(dirname(file), { recursive: true });
      // Await stands at the top of a module only.
      writeFileSync(file, `${source}\nexport {};\n`);
    }
    const compilerOptions = { noUnusedLocals: false, noUnusedParameters: false };
    const settings = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['**/*.ts'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const run = spawnSync(process.execPath, [compiler, '-p', folder, '--pretty', 'false'], {
      cwd: folder,
      encoding: 'utf8',
    });
    const problems = problemsOf(run.stdout, modules);
    if (run.status !== 0 && problems.length === 0) throw new Error(`tsc: ${run.stdout}${run.stderr}`);
    return problems;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function fileOf(document: string): string {
  return document.replace(/\.md$/, '.ts');
}

/** `docs/quick-start.ts(12,3): error TS2304: …`, with the lines after it that say more. */
function problemsOf(output: string, modules: ReadonlyMap<string, string>): CommandProblem[] {
  const documents = new Map([...modules.keys()].map((path) => [fileOf(path), path]));
  return [...output.matchAll(/^(.+?)\((\d+),\d+\): error (.*(?:\n .*)*)/gm)].map(([, file, line, message]) => ({
    where: `${documents.get(file) ?? file}:${line}`,
    message,
  }));
}
