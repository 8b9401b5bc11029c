/** The kernels' own checks: formatting, and clippy with every warning denied. Both run, so that one pass shows all. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const native = join(import.meta.dirname, '..', 'native');

function cargo(...args: string[]): boolean {
  console.log(`cargo ${args.join(' ')}`);
  const run = spawnSync('cargo', args, { cwd: native, stdio: 'inherit' });
  if (run.error) console.error('check-rust: cargo was not found: install a Rust toolchain (https://rustup.rs)');
  return run.status === 0;
}

const isFormatted = cargo('fmt', '--check');
const isClean = cargo('clippy', '--release', '--locked', '--all-targets', '--', '-D', 'warnings');
process.exitCode = isFormatted && isClean ? 0 : 1;
