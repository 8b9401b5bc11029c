import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { fail } from '../base/index.ts';

const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const MAX_COMMENT_BYTES = 0xffff;
/** A wheel's directory is a few kB. */
const MAX_DIRECTORY_BYTES = 16 * 2 ** 20;
const STORED = 0;
const DEFLATED = 8;

export interface ZipEntry {
  readonly name: string;
  readonly method: number;
  readonly compressedBytes: number;
  readonly sizeBytes: number;
  readonly localOffset: number;
}

/** The entries of a zip archive (PKWARE APPNOTE, without zip64 and encryption, which wheels do not use). @throws FILE_INVALID */
export async function readZipEntries(path: string): Promise<ZipEntry[]> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const tail = await readAt(
      file,
      Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES),
      Math.min(size, END_BYTES + MAX_COMMENT_BYTES),
      path,
    );
    let end = tail.length - END_BYTES;
    while (end >= 0 && tail.readUInt32LE(end) !== END_SIGNATURE) end--;
    if (end < 0) fail('FILE_INVALID', `${path}: is no zip archive, or is cut off`);
    const [count, bytes, offset] = [
      tail.readUInt16LE(end + 10),
      tail.readUInt32LE(end + 12),
      tail.readUInt32LE(end + 16),
    ];
    if (bytes > MAX_DIRECTORY_BYTES || offset + bytes > size)
      fail('FILE_INVALID', `${path}: the zip directory lies outside the file`);
    return parseDirectory(await readAt(file, offset, bytes, path), count, path);
  } finally {
    await file.close();
  }
}

/** Writes an entry's content to a file. @throws FILE_INVALID when it is compressed in an unknown way or has another size than stated */
export async function extractZipEntry(path: string, entry: ZipEntry, target: string): Promise<void> {
  const start = await dataOffset(path, entry);
  if (entry.method !== STORED && entry.method !== DEFLATED) {
    fail(
      'FILE_INVALID',
      `${path}: ${entry.name} is compressed with method ${entry.method}: only stored and deflate are supported`,
    );
  }
  if (start + entry.compressedBytes > statSync(path).size) fail('FILE_INVALID', `${path}: ${entry.name} is cut off`);
  const inflate = entry.method === DEFLATED ? createInflateRaw() : new PassThrough();
  let written = 0;
  const limit = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      written += chunk.length;
      if (written > entry.sizeBytes)
        fail('FILE_INVALID', `${path}: ${entry.name} has more than the ${entry.sizeBytes} bytes it states`);
      yield chunk;
    }
  };
  const { compressedBytes } = entry;
  // A range cannot be empty: an entry of no bytes is not read.
  const data =
    compressedBytes === 0 ? Readable.from([]) : createReadStream(path, { start, end: start + compressedBytes - 1 });
  await pipeline(data, inflate, limit, createWriteStream(target));
  if (written !== entry.sizeBytes)
    fail('FILE_INVALID', `${path}: ${entry.name} has ${written} bytes, it states ${entry.sizeBytes}`);
}

function parseDirectory(directory: Buffer, count: number, path: string): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > directory.length || directory.readUInt32LE(at) !== ENTRY_SIGNATURE) {
      fail('FILE_INVALID', `${path}: the zip directory is broken at entry ${i}`);
    }
    const nameBytes = directory.readUInt16LE(at + 28);
    entries.push({
      name: directory.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes),
      method: directory.readUInt16LE(at + 10),
      compressedBytes: directory.readUInt32LE(at + 20),
      sizeBytes: directory.readUInt32LE(at + 24),
      localOffset: directory.readUInt32LE(at + 42),
    });
    at += ENTRY_BYTES + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

/** An entry's own header repeats its name and has its own extra field: the content begins after both. */
async function dataOffset(path: string, { name, localOffset }: ZipEntry): Promise<number> {
  const file = await open(path, 'r');
  try {
    const local = await readAt(file, localOffset, LOCAL_BYTES, path);
    if (local.readUInt32LE(0) !== LOCAL_SIGNATURE) fail('FILE_INVALID', `${path}: the header of ${name} is broken`);
    return localOffset + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, position: number, length: number, path: string): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  return bytesRead === length ? buffer : fail('FILE_INVALID', `${path}: is cut off`);
}
