import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkDocuments } from './check-documents.ts';

function problemsOf(architecture: string): string[] {
  const root = mkdtempSync(join(tmpdir(), 'check-documents-'));
  try {
    const files = {
      'src/numeric/native-face.ts': 'export function loadKernels() {}\n',
      'native/src/lib.rs': '',
      'ARCHITECTURE.md': architecture,
    };
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return checkDocuments(root).map(({ where, message }) => `${where} ${message}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('files named from the root, from src/, by a pattern or by their bare name are found', () => {
  assert.deepEqual(
    problemsOf(
      '`native/src/lib.rs` `numeric/native-face.ts` `numeric/native*.ts` `lib.rs` `methods/NAME.ts` `npm test`\n',
    ),
    [],
  );
});

test('a file that is not there is reported with its line', () => {
  assert.deepEqual(problemsOf('one\ntwo `numeric/tape.ts`\n'), [
    'ARCHITECTURE.md:2 names numeric/tape.ts, which does not exist',
  ]);
  assert.deepEqual(problemsOf('`gone.ts`\n'), ['ARCHITECTURE.md:1 names gone.ts, which does not exist']);
});

test("a journey's file and function must be there", () => {
  assert.deepEqual(problemsOf('numeric/native-face   loadKernels(path)   -> Kernels\n'), []);
  assert.deepEqual(problemsOf('numeric/native-face   unloadKernels(path)\n'), [
    'ARCHITECTURE.md:1 names unloadKernels, which src/numeric/native-face.ts does not have',
  ]);
  assert.deepEqual(problemsOf('numeric/tape   record()\n'), [
    'ARCHITECTURE.md:1 names src/numeric/tape.ts, which does not exist',
  ]);
});
