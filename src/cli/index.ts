/**
 * cli: the command line, one command a file: reads options, calls the app, prints.
 * Owns: standard output, exit codes.
 * May import: base app.   Called by: main.ts, the program's entry.
 * Runs on: the main thread.
 * Throws: USAGE_INVALID INTERNAL.
 */
export { makeProgram } from './program.ts';
