/** Builds files byte by byte, sound or not, for the tests of this folder. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { EspalierError, type ErrorCode } from '../../../src/base/index.ts';

/** A folder that is removed after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-formats-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs `read` and asserts that it refuses with this code, and that the message has each of these texts. */
export function assertRefused(read: () => unknown, code: ErrorCode, ...texts: readonly string[]): EspalierError {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof EspalierError, `threw ${String(error)}`);
    assert.equal(error.code, code, error.message);
    for (const text of texts) assert.ok(error.message.includes(text), `"${error.message}" does not name "${text}"`);
    return error;
  }
  return assert.fail(`was taken, expected ${code} with ${texts.join(', ')}`);
}

/** A safetensors file of a header (an object, or its raw text or bytes) and data. `length` replaces the header's true length. */
export function safetensorsFile(header: unknown, data: Uint8Array = new Uint8Array(), length?: bigint): Uint8Array {
  const bytes =
    header instanceof Uint8Array ? header : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(bytes.length));
  return Buffer.concat([start, bytes, data]);
}

/** Little-endian numbers and strings, as GGUF has them. */
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
export const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

export const GGUF_U32 = 4;
export const GGUF_TEXT = 8;
export const GGUF_ARRAY = 9;

/** A key-value pair; `value` is raw. */
export const pair = (key: string, type: number, value: Uint8Array): Buffer =>
  Buffer.concat([text(key), u32(type), value]);
export const textPair = (key: string, value: string): Buffer => pair(key, GGUF_TEXT, text(value));

/** A tensor's entry: dimensions in GGUF's order (row length first). */
export function tensorEntry(
  name: string,
  dimensions: readonly (bigint | number)[],
  type: number,
  offset: bigint | number,
): Buffer {
  return Buffer.concat([text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)]);
}

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  readonly numTensors?: bigint | number;
  readonly numPairs?: bigint | number;
  readonly pairs?: readonly Uint8Array[];
  readonly tensors?: readonly Uint8Array[];
  readonly data?: Uint8Array;
  readonly alignment?: number;
}

/** A GGUF file; what is not given is sound. The data begins at the next multiple of `alignment`. */
export function ggufFile(parts: GgufParts): Uint8Array {
  const {
    pairs = [textPair('general.architecture', 'llama')],
    tensors = [],
    data = new Uint8Array(),
    alignment = 32,
  } = parts;
  const header = Buffer.concat([
    Buffer.from(parts.magic ?? 'GGUF'),
    u32(parts.version ?? 3),
    u64(parts.numTensors ?? tensors.length),
    u64(parts.numPairs ?? pairs.length),
    ...pairs,
    ...tensors,
  ]);
  if (data.length === 0) return header;
  return Buffer.concat([header, Buffer.alloc((alignment - (header.length % alignment)) % alignment), data]);
}
