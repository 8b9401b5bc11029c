import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { assert, errorMessage, fail } from '../base/index.ts';

/** Where a reader takes its bytes from: a file that stays open, or memory. */
export interface ByteSource {
  /** Names the file in errors. */
  readonly name: string;
  readonly sizeBytes: number;
  /** A copy of `length` bytes from `offset`: in bounds, by the caller's own checks. It begins at offset 0 of its buffer. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Linux reads at most 2^31 - 4096 bytes at once. */
const MAX_READ_BYTES = 2 ** 30;

export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    sizeBytes: bytes.length,
    read(offset, length) {
      assert(offset >= 0 && length >= 0 && offset + length <= bytes.length, `read of ${length} bytes at ${offset}`);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    close() {},
  };
}

/**
 * Opens a regular file. Devices and pipes are refused without waiting for them.
 * @throws FILE_NOT_FOUND FILE_INVALID
 */
export function fileSource(path: string): ByteSource {
  const file = openFile(path);
  const stat = fstatSync(file);
  if (!stat.isFile()) {
    closeSync(file);
    fail('FILE_INVALID', `${path}: is not a regular file`);
  }
  return {
    name: path,
    sizeBytes: stat.size,
    read(offset, length) {
      assert(offset >= 0 && length >= 0 && offset + length <= stat.size, `read of ${length} bytes at ${offset}`);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const count = readSync(file, bytes, done, Math.min(length - done, MAX_READ_BYTES), offset + done);
        if (count === 0) fail('FILE_INVALID', `${path}: became shorter while it was read`);
        done += count;
      }
      return bytes;
    },
    close: () => closeSync(file),
  };
}

function openFile(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const isMissing =
      error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
    if (isMissing) fail('FILE_NOT_FOUND', `${path}: there is no such file`, { cause: error });
    return fail('FILE_INVALID', `${path}: cannot be opened: ${errorMessage(error)}`, { cause: error });
  }
}

/** The whole of a file that may have at most `maxBytes`. */
export function readWholeFile(path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  const source = fileSource(path);
  try {
    if (source.sizeBytes > maxBytes) {
      fail('FILE_INVALID', `${path}: has ${source.sizeBytes} bytes, expected at most ${maxBytes}`);
    }
    return source.read(0, source.sizeBytes);
  } finally {
    source.close();
  }
}

/** What a file is when it is none of ours, from its first bytes: for an error that helps. */
export function describeForeign(start: Uint8Array): string | undefined {
  const text = Buffer.from(start.subarray(0, 64)).toString('latin1');
  if (/^version \S*git-lfs/.test(text)) return 'it is a Git LFS pointer: run "git lfs pull" to get the file itself';
  if (/^\s*<(?:!doctype|html|\?xml)/i.test(text)) return 'it is a web page: the download did not give the file';
  if (start[0] === 0x1f && start[1] === 0x8b) return 'it is gzip-compressed: unpack it first';
  if (text.startsWith('PK\u0003\u0004')) return 'it is a zip archive, perhaps of a Python pickle, which is never read';
  if (start[0] === 0x80 && start[1] !== undefined && start[1] >= 2 && start[1] <= 5 && /^..[c}\]\x95(]/s.test(text)) {
    return 'it is a Python pickle, which is never read';
  }
  return undefined;
}
