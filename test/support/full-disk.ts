/**
 * Preloaded into a process (`NODE_OPTIONS=--import=…`), makes writes to checkpoints fail as on a full disk once so many were written
 * (`FULL_AFTER_CHECKPOINTS`). A real full disk needs a file system of its own; this is the same error at the same call.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const allowed = Number(process.env['FULL_AFTER_CHECKPOINTS'] ?? Infinity);
const checkpoints = new Set<number>();
let numOpened = 0;

const { openSync, writeSync, closeSync } = fs;

fs.openSync = (path, ...rest) => {
  const file = openSync(path, ...rest);
  if (String(path).includes('checkpoint.safetensors') && String(path).endsWith('.tmp') && ++numOpened > allowed) {
    checkpoints.add(file);
  }
  return file;
};

fs.closeSync = (file) => {
  checkpoints.delete(file);
  closeSync(file);
};

fs.writeSync = ((file: number, ...rest: [NodeJS.ArrayBufferView]) => {
  if (checkpoints.has(file)) {
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
  }
  return writeSync(file, ...rest);
}) as typeof fs.writeSync;

syncBuiltinESMExports();
