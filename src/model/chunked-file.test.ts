import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChunkedFile } from './chunked-file.ts';

test('what is written in pieces of any size is the file, across chunks too', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chunked-'));
  try {
    const path = join(folder, 'file');
    const pieces = [0, 1, 5 * 2 ** 20, 20 * 2 ** 20, 7, 3 * 2 ** 20].map((length, piece) =>
      Buffer.from(Uint8Array.from({ length }, (_, i) => i * 7 + piece)),
    );
    const file = openSync(path, 'w');
    const chunks = new ChunkedFile(file);
    for (const piece of pieces) chunks.write(piece);
    chunks.end();
    closeSync(file);
    assert.ok(readFileSync(path).equals(Buffer.concat(pieces)));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
