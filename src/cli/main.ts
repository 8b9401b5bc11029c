#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

// Half of what a command takes to start is compiling the program's own files. What has been compiled once is kept in the system's
// temporary folder, checked by content; the variable hands it on to threads and to the processes that train.
const { directory } = enableCompileCache();
if (directory !== undefined) process.env['NODE_COMPILE_CACHE'] ??= directory;
// Only what is imported from here on comes from the cache.
const { runProgram } = await import('./run-program.ts');
await runProgram();
