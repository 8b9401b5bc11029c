/**
 * Gives a folder of malformed files to the readers and holds their verdicts against its manifest.json: each file in a process of its
 * own, with little memory and little time. Prints a table; the exit code is 1 when a verdict differs, a message does not name what it
 * should, or a reader crashed, hung, or ran out of memory.
 *
 *     node tools/check-malformed.ts DIR
 *
 * DIR/manifest.json is {files: [{file, verdict: "accept"|"reject"|"either", error_should_name: [text]}]}; the first part of a file's
 * path says how it is read: train_files, safetensors, gguf, adapters (PEFT folders for SmolLM2-135M) or model_files.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Case {
  readonly file: string;
  readonly verdict: 'accept' | 'reject' | 'either';
  readonly error_should_name: readonly string[];
}

/** What the child prints as its last line. */
interface Outcome {
  readonly verdict: 'accept' | 'reject';
  readonly message: string;
  /** The most memory that the process had, V8's heap and buffers together. */
  readonly peakMib: number;
}

const READER = fileURLToPath(new URL('malformed-reader.ts', import.meta.url));
/** V8's heap; buffers are outside of it, so the whole is measured too. */
const HEAP_MIB = 192;
const PEAK_MIB = 400;
const TIME_LIMIT_MS = 20_000;
const PARALLEL = 2;

function readManifest(directory: string): Case[] {
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as { files: Case[] };
  return manifest.files;
}

/** Runs one case; a string says how the process ended when it gave no verdict. */
async function readAlone(path: string, kind: string): Promise<Outcome | string> {
  const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MIB}`, READER, kind, path], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...ended) => resolve(ended));
  });
  if (code !== 0)
    return signal ? `ended by ${signal} (time limit ${TIME_LIMIT_MS} ms)` : `crashed: ${errors.slice(-300)}`;
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Outcome;
}

/** What is wrong with an outcome, or undefined. An accepted file may leave its names to warnings, which `message` has too. */
function judge(wanted: Case, outcome: Outcome | string): string | undefined {
  if (typeof outcome === 'string') return outcome;
  if (outcome.peakMib > PEAK_MIB) return `used ${outcome.peakMib} MiB, expected at most ${PEAK_MIB}`;
  if (wanted.verdict !== 'either' && wanted.verdict !== outcome.verdict) return `expected ${wanted.verdict}`;
  if (outcome.verdict === 'accept') return undefined;
  const missing = wanted.error_should_name.filter((text) => !outcome.message.includes(text));
  return missing.length > 0 ? `does not name ${missing.join(', ')}` : undefined;
}

async function main(directory: string): Promise<number> {
  const cases = readManifest(directory);
  const waiting = [...cases.entries()];
  const lines: string[] = [];
  let numWrong = 0;
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, wanted] = next;
      const outcome = await readAlone(join(directory, wanted.file), wanted.file.split('/')[0] ?? '');
      const wrong = judge(wanted, outcome);
      if (wrong !== undefined) numWrong++;
      const [verdict, message] = typeof outcome === 'string' ? ['none', ''] : [outcome.verdict, outcome.message];
      const status = wrong === undefined ? 'ok   ' : 'WRONG';
      const text = message.replaceAll('\n', ' / ').replaceAll(directory, '…').slice(0, 240);
      lines[index] =
        `${status} ${verdict.padEnd(6)} ${wanted.file}: ${wrong === undefined ? '' : `[${wrong}] `}${text}`;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  process.stdout.write(`${lines.join('\n')}\n${cases.length} files, ${numWrong} wrong\n`);
  return numWrong > 0 || cases.length === 0 ? 1 : 0;
}

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write('usage: node tools/check-malformed.ts DIR\n');
  process.exitCode = 2;
} else {
  process.exitCode = await main(directory);
}
