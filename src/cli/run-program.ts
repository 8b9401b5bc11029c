import { CommanderError } from 'commander';
import { makeProgram } from './program.ts';
import { reportError } from './output.ts';

/** Runs the command that the process was called with, and sets its exit code. */
export async function runProgram(): Promise<void> {
  const wantsJson = process.argv.includes('--json');
  // A closed pipe (`espalier ... | head`) is the reader's wish, not a failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  try {
    await makeProgram().parseAsync();
  } catch (error) {
    // commander has printed its own message: help is 0, a wrong call is 2.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else process.exitCode = reportError(error, { json: wantsJson });
  }
}
