import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errorMessage, fail } from '../base/index.ts';
import { COMPUTE_DTYPES, type ComputeDtype } from '../numeric/index.ts';

/** Where things are and how much of the machine is used: everything that comes from the environment, read once. */
export interface AppConfig {
  /** ESPALIER_HOME: models, packed weights, registry, database. */
  readonly home: string;
  /** HF_HOME: the Hugging Face cache, looked through before anything is downloaded. */
  readonly hfHome: string;
  /** HF_ENDPOINT: the hub. */
  readonly hfEndpoint: string;
  /** HF_TOKEN, for gated models. */
  readonly hfToken: string | undefined;
  /** ESPALIER_THREADS; undefined is every core. */
  readonly threads: number | undefined;
  /** ESPALIER_COMPUTE: what products with the base's weights round to; `auto` unless given. See {@link computeDtypeFor}. */
  readonly compute?: Compute | undefined;
  /** ESPALIER_ENCRYPTION_KEY, or the file that ESPALIER_ENCRYPTION_KEY_FILE names: the first is for writing, the others for reading. Absent: none. */
  readonly encryptionKeys?: readonly Uint8Array[] | undefined;
}

/** What products with the base's weights round to, or the choice of the machine's best. */
export type Compute = 'auto' | ComputeDtype;
export const COMPUTES: readonly Compute[] = ['auto', ...COMPUTE_DTYPES];

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws USAGE_INVALID names the variable */
export function readConfig(env: Environment = process.env): AppConfig {
  const home = env['ESPALIER_HOME'] || join(homedir(), '.espalier');
  return {
    home,
    hfHome: env['HF_HOME'] || join(homedir(), '.cache', 'huggingface'),
    hfEndpoint: (env['HF_ENDPOINT'] || 'https://huggingface.co').replace(/\/+$/, ''),
    hfToken: env['HF_TOKEN'] || undefined,
    threads: readThreads(env['ESPALIER_THREADS']),
    compute: readCompute(env['ESPALIER_COMPUTE']),
    encryptionKeys: readKeys(env['ESPALIER_ENCRYPTION_KEY'], env['ESPALIER_ENCRYPTION_KEY_FILE']),
  };
}

function readThreads(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const threads = Number(text);
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
    fail('USAGE_INVALID', `ESPALIER_THREADS must be a whole number from 1 to 1024, got ${JSON.stringify(text)}`);
  }
  return threads;
}

function readCompute(text: string | undefined): Compute | undefined {
  if (text === undefined || text === '') return undefined;
  const found = COMPUTES.find((one) => one === text);
  if (found) return found;
  return fail('USAGE_INVALID', `ESPALIER_COMPUTE must be one of ${COMPUTES.join(', ')}, got ${JSON.stringify(text)}`);
}

/** Keys of 64 hexadecimal digits with commas between. What is wrong is told without the key. */
function readKeys(text: string | undefined, path: string | undefined): readonly Uint8Array[] | undefined {
  if (text && path) fail('USAGE_INVALID', 'set ESPALIER_ENCRYPTION_KEY or ESPALIER_ENCRYPTION_KEY_FILE, not both');
  const keys = text || (path && readKeyFile(path));
  if (!keys) return undefined;
  return keys.split(',').map((key) => {
    if (/^[0-9a-f]{64}$/i.test(key.trim())) return Buffer.from(key.trim(), 'hex');
    return fail('USAGE_INVALID', 'ESPALIER_ENCRYPTION_KEY must be 64 hexadecimal digits: openssl rand -hex 32');
  });
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return fail('USAGE_INVALID', `ESPALIER_ENCRYPTION_KEY_FILE cannot be read: ${errorMessage(error)}`);
  }
}
