import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { claimRunFolder } from './run-folder.ts';

let root: string;
let output: string;
let checkpoint: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'espalier-run-folder-'));
  output = join(root, 'adapter');
  checkpoint = join(output, 'checkpoint.safetensors');
});
afterEach(() => rmSync(root, { recursive: true }));

const ANEW = { resume: false };

test('a folder is one run’s at a time, and leaves nothing when nothing came into it', () => {
  const claim = claimRunFolder(output, ANEW);
  assert.throws(() => claimRunFolder(output, { resume: true }), {
    code: 'USAGE_INVALID',
    message: new RegExp(`process ${process.pid} on ${hostname()} is training there`),
  });
  claim[Symbol.dispose]();
  assert.equal(existsSync(output), false);
  mkdirSync(output);
  claimRunFolder(output, ANEW)[Symbol.dispose]();
  assert.ok(existsSync(output), 'it was there before');
});

test('what a killed process held is free, what another host holds is not', async () => {
  const gone = spawn(process.execPath, ['-e', '']);
  await once(gone, 'exit');
  mkdirSync(join(output, 'run'), { recursive: true });
  const lock = join(output, 'run', 'lock');
  writeFileSync(lock, `${gone.pid} elsewhere.example`);
  assert.throws(() => claimRunFolder(output, ANEW), { message: /on elsewhere\.example is training there/ });
  writeFileSync(lock, `${gone.pid} ${hostname()}`);
  claimRunFolder(output, ANEW)[Symbol.dispose]();
  assert.equal(existsSync(lock), false);
});

test('a checkpoint is gone on from, dropped because somebody said so, or in the way', () => {
  mkdirSync(output);
  writeFileSync(checkpoint, '');
  assert.throws(() => claimRunFolder(output, ANEW), {
    code: 'USAGE_INVALID',
    message: /--resume goes on .* --restart/,
  });
  claimRunFolder(output, { resume: true })[Symbol.dispose]();
  assert.ok(existsSync(checkpoint));
  const other = claimRunFolder(output, { resume: true });
  assert.throws(() => claimRunFolder(output, { resume: false, restart: true }), { message: /is training there/ });
  assert.ok(existsSync(checkpoint), 'it is the other’s');
  other[Symbol.dispose]();
  claimRunFolder(output, { resume: false, restart: true })[Symbol.dispose]();
  assert.equal(existsSync(checkpoint), false);
});
