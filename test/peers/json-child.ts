/** Runs a program that prints one JSON document: ours with `--json`, or a peer's script. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';

/** Of a failed program's standard error: enough for a Python traceback. */
const SHOWN_ERROR_LINES = 25;

export interface ChildOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a program to its end and parses its standard output. It does not outlive this process.
 * @throws Error with the end of its standard error if it fails or prints something else than one document
 */
export async function jsonOf<T>(program: string, args: readonly string[], options: ChildOptions = {}): Promise<T> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const kill = (): void => void child.kill('SIGKILL');
  const interrupted = (signal: NodeJS.Signals): never => {
    console.error(`${signal} while ${program} ran`);
    return process.exit(128 + constants.signals[signal]);
  };
  process.once('exit', kill).once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    if (code !== 0) throw failure(signal ? `was ended by ${signal}` : `ended with code ${code}`);
    try {
      return JSON.parse(stdout) as T;
    } catch {
      throw failure(`printed no JSON document but ${JSON.stringify(stdout.slice(0, 200))}`);
    }
  } finally {
    process.off('exit', kill).off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }

  function failure(what: string): Error {
    const lines = stderr.trimEnd().split('\n').slice(-SHOWN_ERROR_LINES).join('\n');
    return new Error(`${[program, ...args].join(' ')}\n${what}:\n${lines}`);
  }
}
