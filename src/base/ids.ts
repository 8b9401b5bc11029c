import { randomBytes } from 'node:crypto';

/** A content address: `sha256:` and 64 hexadecimal digits. */
export type Digest = `sha256:${string}`;

export function isDigest(text: string): text is Digest {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** A new random id such as `chatcmpl-7Qm...`: the prefix and 24 characters of base62-like text (about 142 bits). */
export function newId(prefix: string): string {
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  let text = '';
  for (const byte of randomBytes(24)) text += alphabet[byte % alphabet.length];
  return prefix + text;
}

/** Tenant and task names: they become parts of references (`TENANT/TASK@VERSION`) and of file names. */
export const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export function isName(text: string): boolean {
  return NAME_PATTERN.test(text);
}
