/**
 * Runs the suite against the native kernels of this process and writes one line of JSON for each check. A process of its own for each
 * instruction set, since the addon chooses one when it is loaded.
 */
import { AssertionError } from 'node:assert';
import { ALL_CHECKS } from './all-checks.ts';
import { nativeSubject } from './native-subject.ts';

export type Line =
  | { readonly instructionSet: string }
  | { readonly check: string; readonly failure: string | null; readonly milliseconds: number };

if (import.meta.main) {
  const write = (line: Line): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
  const subject = nativeSubject();
  write({ instructionSet: subject.kernels.name });
  for (const check of ALL_CHECKS) {
    const start = performance.now();
    let failure: string | null = null;
    try {
      check.run(subject);
    } catch (error) {
      failure = error instanceof AssertionError ? error.message : String((error as Error).stack);
    }
    write({ check: check.name, failure, milliseconds: Math.round(performance.now() - start) });
  }
}
