import { SingleBar, Presets } from 'cli-progress';
import { EspalierError, errorMessage, isPathError } from '../base/index.ts';

/** How many problems of a data file are printed; `--json` has them all. */
const MAX_PRINTED_PROBLEMS = 20;

export interface OutputOptions {
  readonly json?: boolean | undefined;
}

/** What a command says. With `--json`, standard output carries one JSON document and nothing else; people's text goes to standard error then. */
export class Output {
  readonly #isJson: boolean;

  constructor({ json }: OutputOptions) {
    this.#isJson = json === true;
  }

  /** A line for people. */
  line(text = ''): void {
    (this.#isJson ? process.stderr : process.stdout).write(`${text}\n`);
  }

  /** The command's result: the document with `--json`, `text` otherwise. */
  result(document: unknown, text: string): void {
    process.stdout.write(this.#isJson ? `${JSON.stringify(document)}\n` : text === '' ? '' : `${text}\n`);
  }

  /** A bar on a terminal, a line now and then elsewhere. */
  progress(label: string): Progress {
    return process.stderr.isTTY ? new BarProgress(label) : new LineProgress(label);
  }
}

export interface Progress {
  update(value: number, total: number, note: string): void;
  stop(): void;
}

class BarProgress implements Progress {
  readonly #bar: SingleBar;
  #isStarted = false;

  constructor(label: string) {
    const format = `${label} {bar} {value}/{total} {note}`;
    this.#bar = new SingleBar(
      { format, stream: process.stderr, hideCursor: true, barsize: 24 },
      Presets.shades_classic,
    );
  }

  update(value: number, total: number, note: string): void {
    if (!this.#isStarted) this.#bar.start(total, 0, { note });
    this.#isStarted = true;
    this.#bar.setTotal(total);
    this.#bar.update(value, { note });
  }

  stop(): void {
    if (this.#isStarted) this.#bar.stop();
  }
}

/** Where nobody watches (a log file, a pipe): about ten lines. */
class LineProgress implements Progress {
  readonly #label: string;
  #lastTenth = -1;

  constructor(label: string) {
    this.#label = label;
  }

  update(value: number, total: number, note: string): void {
    const tenth = Math.floor((10 * value) / Math.max(1, total));
    if (tenth === this.#lastTenth) return;
    this.#lastTenth = tenth;
    process.stderr.write(`${this.#label} ${value}/${total} ${note}\n`);
  }

  stop(): void {
    this.#lastTenth = -1;
  }
}

/** Prints a failure and returns the exit code: 2 for a call that was wrong, 1 for work that failed, 130 for work that was stopped. */
export function reportError(error: unknown, { json }: OutputOptions): number {
  const known = error instanceof EspalierError;
  const code = known ? error.code : 'INTERNAL';
  const problems = known ? error.problems : [];
  if (json === true) {
    const document = {
      error: { code, message: errorMessage(error), param: known ? (error.param ?? null) : null, problems },
    };
    process.stdout.write(`${JSON.stringify(document)}\n`);
  } else {
    const message = errorMessage(error);
    const isOurBug = error instanceof Error && !known && !isPathError(error);
    // A message lists the first problems itself: what is listed here is not said twice.
    const isListed = problems.every((problem) => message.includes(problem.message));
    const headline = isListed ? message : message.slice(0, message.search(/$/m));
    process.stderr.write(`espalier: ${isOurBug ? error.stack : headline}\n`);
    const listed = isListed ? [] : problems.slice(0, MAX_PRINTED_PROBLEMS);
    for (const { where, message } of listed) process.stderr.write(`  ${where}: ${message}\n`);
    const rest = isListed ? 0 : problems.length - MAX_PRINTED_PROBLEMS;
    if (rest > 0) process.stderr.write(`  and ${rest} more (--json lists all)\n`);
  }
  // As a shell has it for what ctrl-c ended.
  if (code === 'CANCELLED') return 130;
  return code === 'USAGE_INVALID' ? 2 : 1;
}

/** Aligned columns; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, String(cell).length);
  return rows
    .map((row) =>
      row
        .map((cell, i) =>
          typeof cell === 'number' ? String(cell).padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
