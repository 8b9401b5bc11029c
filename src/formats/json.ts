import { errorMessage, fail } from '../base/index.ts';
import { readWholeFile } from './byte-source.ts';
import { MAX_CONFIG_BYTES, MAX_JSON_DEPTH } from './limits.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Where (a byte offset) JSON text goes deeper than `maxDepth` arrays and objects, or -1. Linear, without recursion, and right for
 * any UTF-8, since the bytes it looks for never occur inside a longer character.
 */
function findTooDeep(bytes: Uint8Array, maxDepth: number): number {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) return i;
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--;
    }
  }
  return -1;
}

/** The text of strict UTF-8 without a byte order mark, or undefined. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // The decoder's only error is that the bytes are not UTF-8.
    return undefined;
  }
}

/** The value of JSON text, or what is wrong with it. */
export type ParsedJson = { readonly value: unknown } | { readonly problem: string };

/** Parses strict UTF-8 JSON of bounded depth; never throws. */
export function parseJson(bytes: Uint8Array, maxDepth = MAX_JSON_DEPTH): ParsedJson {
  const tooDeep = findTooDeep(bytes, maxDepth);
  if (tooDeep >= 0) return { problem: `is nested deeper than ${maxDepth} levels at byte ${tooDeep}` };
  const text = decodeUtf8(bytes);
  if (text === undefined) return { problem: 'is not UTF-8' };
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { problem: `is not valid JSON: ${errorMessage(error)}` };
  }
}

/**
 * The value of a JSON file.
 * @throws FILE_NOT_FOUND FILE_INVALID
 */
export function readJsonFile(path: string, limits: { maxBytes?: number; maxDepth?: number } = {}): unknown {
  const parsed = parseJson(readWholeFile(path, limits.maxBytes ?? MAX_CONFIG_BYTES), limits.maxDepth);
  if ('problem' in parsed) fail('FILE_INVALID', `${path}: ${parsed.problem}`);
  return parsed.value;
}

/** An object that is no array: its keys are data, never trusted as fields of ours. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as an error shows it: JSON, cut to a readable length. */
export function show(value: unknown, maxLength = 80): string {
  // JSON.stringify gives undefined for undefined, which the types do not say; Infinity would read as null.
  const text = typeof value === 'number' ? String(value) : ((JSON.stringify(value) as string | undefined) ?? 'nothing');
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}
