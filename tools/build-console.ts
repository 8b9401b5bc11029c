/**
 * Builds console/ to console/dist/, which the server serves. Runs on `npm ci` (prepare).
 * Skips the build where the page is newer than every source, unless --force.
 */
import { existsSync, globSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'console');
const page = join(folder, 'dist', 'index.html');

function isFresh(): boolean {
  if (!existsSync(page)) return false;
  const built = statSync(page).mtimeMs;
  const sources = [...globSync('console/{src/**/*.*,*.*}', { cwd: root }), 'package-lock.json'];
  return sources.every((source) => statSync(join(root, source)).mtimeMs <= built);
}

if (process.argv.includes('--force') || !isFresh()) {
  await build({ configFile: join(folder, 'vite.config.ts'), logLevel: 'warn' });
}
