/**
 * The Pythons that the peers run in: the one that ESPALIER_PEER_PYTHON (or, for the fuzz, ESPALIER_FUZZ_PYTHON; for OpenAI's schema, ESPALIER_OPENAI_SCHEMA_PYTHON) names, or else a virtual
 * environment with pinned requirements, made at first use in node_modules/.cache (on Linux, torch brings several GB along).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOfBytes } from '../../src/formats/index.ts';
import { jsonOf } from './json-child.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** What the peers need and git does not keep: the environment, bases in the peers' own layout. */
export const PEER_CACHE = join(ROOT, 'node_modules', '.cache', 'espalier-peers');

/** An environment: its folder in the cache, what is installed there, and the variable that names another interpreter. */
interface PeerEnvironment {
  readonly folder: string;
  readonly requirements: string;
  readonly variable: string;
}

const PEERS: PeerEnvironment = { folder: 'venv', requirements: 'requirements.txt', variable: 'ESPALIER_PEER_PYTHON' };
const FUZZ: PeerEnvironment = {
  folder: 'fuzz-venv',
  requirements: 'fuzz-requirements.txt',
  variable: 'ESPALIER_FUZZ_PYTHON',
};

const OPENAI_SCHEMA: PeerEnvironment = {
  folder: 'openai-schema-venv',
  requirements: 'openai-schema-requirements.txt',
  variable: 'ESPALIER_OPENAI_SCHEMA_PYTHON',
};

const MLX: PeerEnvironment = {
  folder: 'mlx-venv',
  requirements: 'mlx-requirements.txt',
  variable: 'ESPALIER_MLX_PYTHON',
};

/** The interpreter with mlx-lm. @throws as {@link interpreterOf} */
export function mlxPython(): string {
  return interpreterOf(MLX);
}

/** The interpreter with PEFT and torch. Progress goes to standard error. @throws as {@link interpreterOf} */
export function peerPython(): string {
  return interpreterOf(PEERS);
}

/** The interpreter with schemathesis. @throws as {@link interpreterOf} */
export function fuzzPython(): string {
  return interpreterOf(FUZZ);
}

/** The interpreter with OpenAI's published description. @throws as {@link interpreterOf} */
export function openAiSchemaPython(): string {
  return interpreterOf(OPENAI_SCHEMA);
}

/** @throws Error when there is no Python or the packages cannot be installed */
function interpreterOf({ folder, requirements, variable }: PeerEnvironment): string {
  const given = process.env[variable];
  if (given) {
    if (!existsSync(given)) throw new Error(`${variable}: there is no file ${given}`);
    return given;
  }
  const venv = join(PEER_CACHE, folder);
  const list = join(import.meta.dirname, requirements);
  const python = process.platform === 'win32' ? join(venv, 'Scripts', 'python.exe') : join(venv, 'bin', 'python');
  // Written last: an environment whose installation was cut off, or of other versions, is made anew.
  const stamp = join(venv, 'espalier-requirements');
  const wanted = digestOfBytes(readFileSync(list));
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python;
  console.error(`peers: making ${venv} (this may be large; ${variable} names an environment that you have)`);
  rmSync(venv, { recursive: true, force: true });
  mkdirSync(PEER_CACHE, { recursive: true });
  install(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', venv]);
  install(python, ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', list]);
  writeFileSync(stamp, wanted);
  return python;
}

function install(program: string, args: readonly string[]): void {
  const { error, status } = spawnSync(program, args, { stdio: ['ignore', 2, 2] });
  const hint = 'install Python 3.11 or later with venv, or name an interpreter (see test/peers/python.ts)';
  if (error) throw new Error(`${program} could not be started (${error.message}): ${hint}`);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${hint}`);
}

/** Runs a peer's script, by its path in the checkout; it prints one JSON document. */
export function peerJson<T>(python: string, script: string, args: readonly string[]): Promise<T> {
  return jsonOf<T>(python, [join(ROOT, script), ...args], { env: { PYTHONUNBUFFERED: '1' } });
}

/**
 * A base as the Hugging Face folder that the peers open without converting it: speed and peak memory are measured from there.
 * @param path a GGUF file, or a folder, which is returned as it is
 */
export function peerBase(python: string, base: { path: string; digest: string }, dtype: 'f32' | 'bf16'): string {
  if (!base.path.endsWith('.gguf')) return base.path;
  const folder = join(PEER_CACHE, 'bases', `${base.digest.replace('sha256:', '').slice(0, 16)}-${dtype}`);
  if (existsSync(folder)) return folder;
  console.error(`peers: converting the base to ${folder}`);
  const part = `${folder}.${process.pid}.part`;
  mkdirSync(join(PEER_CACHE, 'bases'), { recursive: true });
  const script = join(import.meta.dirname, 'smollm2_from_gguf.py');
  const { status, stderr } = spawnSync(python, [script, base.path, part, dtype], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script} failed:\n${stderr}`);
  renameSync(part, folder);
  return folder;
}
