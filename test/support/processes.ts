/** Starts the real command line as a child process, and ends what it started. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
/** Far above what any command of a test takes, also on a busy machine. */
const TIME_LIMIT_MS = 5 * 60_000;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly home: string;
  readonly threads?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** After so long it is killed: 5 minutes unless told. */
  readonly timeLimitMs?: number;
  /** What is run before the arguments: the program from its sources unless told. */
  readonly command?: readonly [string, ...string[]];
}

/** A running `espalier ...` in a process group of its own. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #waiting: (() => void)[] = [];
  /** Settles when the process and every child that shares its output are gone. */
  readonly finished: Promise<Finished>;
  #isOver = false;

  constructor(args: readonly string[], options: ProgramOptions) {
    const [program, ...first] = options.command ?? [process.execPath, MAIN];
    const child = spawn(program, [...first, ...args], {
      cwd: options.cwd,
      env: {
        ...process.env,
        ESPALIER_HOME: options.home,
        HF_HOME: join(options.home, 'no-cache'),
        ESPALIER_THREADS: String(options.threads ?? 1),
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#hear(() => (this.#stdout += text)));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.#hear(() => (this.#stderr += text)));
    const timer = setTimeout(() => this.killAll(), options.timeLimitMs ?? TIME_LIMIT_MS);
    this.finished = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        this.#hear(() => (this.#isOver = true));
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  get hasEnded(): boolean {
    return this.#isOver;
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process did not start');
    return this.#child.pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until `isTrue`, looked at whenever something is printed. @throws if the process ends before */
  async until(isTrue: (program: Program) => boolean): Promise<void> {
    while (!isTrue(this)) {
      if (this.#isOver) throw new Error(`ended too early:\n${this.#stdout}\n${this.#stderr}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Ends the process alone; its children have to notice by themselves. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }

  /** Ends the process and its children at the same moment. */
  killAll(): void {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) this.killAll();
    await this.finished;
  }

  #hear(change: () => void): void {
    change();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Runs a command to its end. */
export function run(args: readonly string[], options: ProgramOptions): Promise<Finished> {
  return new Program(args, options).finished;
}

/** The one JSON document that a command with `--json` prints. @throws if it failed or printed anything else */
export async function runJson<T>(args: readonly string[], options: ProgramOptions): Promise<T> {
  const { code, stdout, stderr } = await run([...args, '--json'], options);
  if (code !== 0) throw new Error(`espalier ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
  return onlyDocument<T>(stdout);
}

/** Parses standard output that must be one JSON document on one line, and nothing else. */
export function onlyDocument<T>(stdout: string): T {
  if (!/^[^\n]+\n$/.test(stdout)) throw new Error(`expected one line of JSON, got ${JSON.stringify(stdout)}`);
  return JSON.parse(stdout) as T;
}

export interface RunningServe extends AsyncDisposable {
  readonly url: string;
  readonly program: Program;
}

/** `espalier serve` on a free port, once it answers. */
export async function startServe(args: readonly string[], options: ProgramOptions): Promise<RunningServe> {
  const program = new Program(['serve', '--port', '0', '--json', ...args], options);
  try {
    await program.until(({ stdout }) => stdout.endsWith('\n'));
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
  const { url } = onlyDocument<{ url: string }>(program.stdout);
  return { url, program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** A folder under the system's temporary one, removed at the end. */
export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'espalier-test-'));

  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The processes that a process has started and that still run. */
export function childrenOf(pid: number): number[] {
  return processTable().flatMap(([child, parent]) => (parent === pid ? [child] : []));
}

/** Pairs of a process and its parent. */
function processTable(): [pid: number, parent: number][] {
  if (!existsSync('/proc/self/stat')) {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
    return lines.map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  }
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // `PID (NAME) STATE PARENT ...`, where the name may hold anything.
      const [, parent] = /^.*\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? [];
      return [[Number(name), Number(parent)] as [number, number]];
    } catch {
      // It has just ended.
      return [];
    }
  });
}
