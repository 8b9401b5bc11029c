import { homedir } from 'node:os';
import { join } from 'node:path';
import { fail } from '../base/index.ts';

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
}

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
