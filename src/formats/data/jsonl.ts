import { fail, type Problem } from '../../base/index.ts';
import { describeForeign } from '../byte-source.ts';
import { isRecord, parseJson, show } from '../json.ts';
import { MAX_LINE_BYTES, MAX_PROBLEMS } from '../limits.ts';

/** A JSON object and the line (from 1) that it stands on. */
export interface JsonRecord {
  readonly value: Readonly<Record<string, unknown>>;
  readonly line: number;
}

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** Bytes at the beginning by which binary files are told. */
const PROBE_BYTES = 4096;
/** Problems that an error's message lists; all are in `problems`. */
const MAX_LISTED = 10;

/** Collects what is wrong with a file's lines, so that all of it is reported at once. */
export class LineProblems {
  readonly #fileName: string;
  readonly problems: Problem[] = [];

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  /** No more are kept: reading on is of no use. */
  get isFull(): boolean {
    return this.problems.length >= MAX_PROBLEMS;
  }

  add(line: number, message: string): void {
    if (!this.isFull) this.problems.push(lineProblem(this.#fileName, line, message));
  }

  /** @throws DATA_INVALID when there was any problem */
  throwIfAny(): void {
    if (this.problems.length > 0) failOnLines(this.#fileName, this.problems);
  }
}

/** `train.jsonl:17` and `messages[2].role must be … (line 17)`. */
export function lineProblem(fileName: string, line: number, message: string): Problem {
  return { where: `${fileName}:${line}`, message: `${message} (line ${line})` };
}

/** Throws all problems of a file as one error whose message lists the first ones. */
export function failOnLines(fileName: string, problems: readonly Problem[]): never {
  const listed = problems.slice(0, MAX_LISTED).map(({ where, message }) => `${where}: ${message}`);
  if (problems.length > 1) listed.unshift(`${fileName} has ${problems.length} problems:`);
  if (problems.length > MAX_LISTED) listed.push(`and ${problems.length - MAX_LISTED} more`);
  return fail('DATA_INVALID', listed.join('\n'), { param: fileName, problems });
}

/**
 * The objects of JSON Lines: strict UTF-8, one object a line, lines end with LF or CRLF (and nothing else: U+2028 belongs to the text).
 * A byte order mark and blank lines are skipped. What is wrong with a line goes to `problems`.
 * @throws DATA_INVALID when the bytes are no UTF-8 text at all
 */
export function readRecords(bytes: Uint8Array, fileName: string, problems: LineProblems): JsonRecord[] {
  refuseForeign(bytes, fileName);
  const records: JsonRecord[] = [];
  let start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  for (let line = 1; start < bytes.length && !problems.isFull; line++) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    // The CR of a CRLF is white space to JSON.
    const text = bytes.subarray(start, end);
    start = end + 1;
    if (isBlank(text)) continue;
    const parsed = parseLine(text);
    if ('problem' in parsed) problems.add(line, parsed.problem);
    else records.push({ value: parsed.value, line });
    // An array over many lines would give a useless problem for each.
    if ('problem' in parsed && parsed.isArrayStart && records.length === 0) break;
  }
  return records;
}

type ParsedLine =
  { readonly value: JsonRecord['value'] } | { readonly problem: string; readonly isArrayStart?: boolean };

function parseLine(text: Uint8Array): ParsedLine {
  if (text.length > MAX_LINE_BYTES) return { problem: `has ${text.length} bytes, expected at most ${MAX_LINE_BYTES}` };
  const parsed = parseJson(text);
  const isArrayStart = text.find((byte) => !isSpace(byte)) === 0x5b;
  if ('problem' in parsed) {
    const hint = isArrayStart ? ': the file must have one JSON object a line, not an array' : '';
    // The parser's own line is always 1.
    const problem = parsed.problem.replace(/ in JSON at position \d+ \(line 1 column (\d+)\)$/, ' at column $1');
    return { problem: problem + hint, isArrayStart };
  }
  if (!isRecord(parsed.value)) {
    return { problem: `is ${describe(parsed.value)}, expected one JSON object a line` };
  }
  return { value: parsed.value };
}

function describe(value: unknown): string {
  return Array.isArray(value) ? 'an array' : show(value);
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === CARRIAGE_RETURN;
}

function isBlank(text: Uint8Array): boolean {
  return text.every(isSpace);
}

/** Says what a file is that is no UTF-8 text, instead of a problem for each of its lines. */
function refuseForeign(bytes: Uint8Array, fileName: string): void {
  const refuse = (what: string): never =>
    fail('DATA_INVALID', `${fileName}: ${what}: expected UTF-8 JSONL, one JSON object a line`, {
      param: fileName,
      problems: [{ where: fileName, message: `${what}, expected UTF-8 JSONL` }],
    });
  const foreign = describeForeign(bytes);
  if (foreign) refuse(foreign);
  const [first, second] = bytes;
  const isUtf16 =
    (first === 0xff && second === 0xfe) ||
    (first === 0xfe && second === 0xff) ||
    (bytes.length > 1 && (first === 0) !== (second === 0));
  if (isUtf16) refuse('it is UTF-16, not UTF-8');
  const probe = bytes.subarray(0, PROBE_BYTES);
  const controls = probe.filter((byte) => byte < 0x20 && !isSpace(byte) && byte !== NEWLINE).length;
  // Text has next to none; random bytes have a tenth.
  if (controls * 20 > probe.length && probe.length >= 32) refuse('it is binary, not UTF-8');
}
