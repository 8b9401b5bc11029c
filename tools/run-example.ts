/** `npm run example -- NAME [arguments]`: runs a program of `examples/` against the sources of this checkout. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';

const folder = join(import.meta.dirname, '..', 'examples');
const names = globSync('*.ts', { cwd: folder }).map((path) => basename(path, '.ts'));
const [name, ...args] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.error(`run-example: name one of ${names.toSorted().join(', ')}`);
  process.exit(2);
}
const program = ['--conditions=espalier-source', join(folder, `${name}.ts`), ...args];
process.exitCode = spawnSync(process.execPath, program, { stdio: 'inherit' }).status ?? 1;
