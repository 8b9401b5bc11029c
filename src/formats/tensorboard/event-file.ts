import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32c } from './crc32c.ts';

/** Named numbers at a step, at a time in milliseconds since 1970. */
export interface ScalarEvent {
  readonly step: number;
  readonly epochMs: number;
  readonly values: Readonly<Record<string, number>>;
}

/**
 * A TensorBoard event file of scalars: TFRecord frames (length, masked CRC-32C of it, bytes, masked CRC-32C of them; numbers are
 * little-endian) around `tensorflow.Event` messages in Protocol Buffers' encoding. Each event is written at once, so TensorBoard follows
 * the run. A folder may hold several files: TensorBoard shows them as one run.
 */
export class EventFile implements Disposable {
  readonly path: string;
  readonly #file: number;

  /** @param epochMs when it begins: part of the file's name, which TensorBoard sorts by */
  constructor(directory: string, epochMs: number) {
    mkdirSync(directory, { recursive: true });
    this.path = join(directory, `events.out.tfevents.${Math.floor(epochMs / 1000)}.espalier.${process.pid}.v2`);
    this.#file = openSync(this.path, 'a');
    this.#write(Buffer.concat([double(1, epochMs / 1000), bytes(3, Buffer.from('brain.Event:2'))]));
  }

  add({ step, epochMs, values }: ScalarEvent): void {
    const summary = Object.entries(values).map(([tag, value]) =>
      bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
    );
    this.#write(Buffer.concat([double(1, epochMs / 1000), varint(2, step), bytes(5, Buffer.concat(summary))]));
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #write(event: Buffer): void {
    const frame = Buffer.alloc(event.length + 16);
    frame.writeBigUInt64LE(BigInt(event.length), 0);
    frame.writeUInt32LE(masked(frame.subarray(0, 8)), 8);
    event.copy(frame, 12);
    frame.writeUInt32LE(masked(event), 12 + event.length);
    writeSync(this.#file, frame);
  }
}

/** TFRecord's checksum: a CRC over bytes that hold CRCs is weak, so it is rotated and shifted. */
function masked(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const [VARINT, FIXED64, LENGTH, FIXED32] = [0, 1, 2, 5];

const key = (field: number, wire: number): Buffer => Buffer.from([(field << 3) | wire]);

function unsigned(value: number): Buffer {
  const out: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(rest));
  return Buffer.from(out);
}

const varint = (field: number, value: number): Buffer => Buffer.concat([key(field, VARINT), unsigned(value)]);

const bytes = (field: number, value: Buffer): Buffer =>
  Buffer.concat([key(field, LENGTH), unsigned(value.length), value]);

function double(field: number, value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeDoubleLE(value);
  return Buffer.concat([key(field, FIXED64), out]);
}

function float(field: number, value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return Buffer.concat([key(field, FIXED32), out]);
}
