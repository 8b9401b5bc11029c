/** Reads the golden files that the scripts in test/golden write (PyTorch and Hugging Face PEFT). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const GOLDEN = join(import.meta.dirname, '..', 'golden');

/** A float32 array in a golden: base64 of its little-endian bytes. */
export interface GoldenArray {
  readonly shape: readonly number[];
  readonly f32: string;
}

export interface GoldenSequence {
  readonly tokenIds: readonly number[];
  readonly logits: GoldenArray;
}

export function readGolden<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(GOLDEN, ...path), 'utf8')) as T;
}

export function floatsOf({ f32 }: GoldenArray): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(f32, 'base64'));
  return new Float32Array(bytes.buffer);
}
