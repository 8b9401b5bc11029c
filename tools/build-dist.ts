/**
 * Compiles src/ to dist/ for the npm package: JavaScript and declarations, without the tests. Runs before `npm pack`.
 *
 * The compiler rewrites `.ts` to `.js` in imports; the modules that are started by URL (`new URL('./worker.ts', import.meta.url)`)
 * are rewritten here. A specifier that is left, or that names nothing, fails the build.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

const URL_OF_MODULE = /new URL\((['"])(\.{1,2}\/[^'"]+)\.ts\1, import\.meta\.url\)/g;
const LEFT_OVER = /(?:from |import\(|import |new URL\()(['"])\.{1,2}\/[^'"]+\.ts\1/;

rmSync(dist, { recursive: true, force: true });
const compiled = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (compiled.status !== 0) throw new Error('build-dist: the compiler failed');

for (const path of globSync('**/*.js', { cwd: dist })) {
  const file = join(dist, path);
  const code = readFileSync(file, 'utf8');
  const rewritten = code.replaceAll(URL_OF_MODULE, (_, quote: string, target: string) => {
    if (!existsSync(join(dirname(file), `${target}.js`))) throw new Error(`build-dist: ${path} names ${target}.ts`);
    return `new URL(${quote}${target}.js${quote}, import.meta.url)`;
  });
  if (LEFT_OVER.test(rewritten)) throw new Error(`build-dist: ${path} still names a .ts file`);
  if (rewritten !== code) writeFileSync(file, rewritten);
}
chmodSync(join(dist, 'cli', 'main.js'), 0o755);
