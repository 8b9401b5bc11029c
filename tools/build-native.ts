/**
 * Builds native/ and puts the addon beside it as `native/espalier.<platform>-<arch>.node`. Runs on `npm ci` (prepare).
 * Skips the build where the addon is newer than every source, unless --force.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

const native = join(import.meta.dirname, '..', 'native');
const addon = join(native, `espalier.${process.platform}-${process.arch}.node`);

function isFresh(): boolean {
  if (!existsSync(addon)) return false;
  const built = statSync(addon).mtimeMs;
  const sources = [...globSync('src/**/*.rs', { cwd: native }), 'Cargo.toml', 'Cargo.lock', 'build.rs'];
  return sources.every(
    (source) => !existsSync(join(native, source)) || statSync(join(native, source)).mtimeMs <= built,
  );
}

function build(): number {
  const cargo = spawnSync('cargo', ['build', '--release', '--locked'], { cwd: native, stdio: 'inherit' });
  if (cargo.error) {
    console.error('espalier: cargo was not found: install a Rust toolchain (https://rustup.rs), then run npm ci again');
    return 1;
  }
  if (cargo.status !== 0) return cargo.status ?? 1;
  const library = { darwin: 'libespalier_native.dylib', win32: 'espalier_native.dll' }[process.platform as string];
  const target = process.env['CARGO_TARGET_DIR'] ?? join(native, 'target');
  // Copied aside and renamed: a process that has the old addon mapped keeps its own file.
  copyFileSync(join(target, 'release', library ?? 'libespalier_native.so'), `${addon}.new`);
  renameSync(`${addon}.new`, addon);
  return 0;
}

process.exitCode = !process.argv.includes('--force') && isFresh() ? 0 : build();
