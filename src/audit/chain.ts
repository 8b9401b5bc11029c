import { createHash } from 'node:crypto';

export type JsonFields = Readonly<Record<string, string | number | boolean | null>>;

/** What of an entry can be erased. */
export interface EntryBody {
  readonly actor: string;
  readonly tenant: string | null;
  readonly target: string;
  /** As JSON, exactly as it is kept. */
  readonly detail: string;
  /** Random, so that a digest tells nothing about a body that is gone, also where few bodies are possible. */
  readonly salt: string;
}

/** What of an entry is bound to the entries before it. */
export interface EntryHead {
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly action: string;
  readonly bodyDigest: string;
}

/** The hash before the first entry's. */
export const GENESIS = '0'.repeat(64);

export function digestOfBody({ salt, actor, tenant, target, detail }: EntryBody): string {
  return sha256(JSON.stringify([salt, actor, tenant, target, detail]));
}

export function hashOfEntry(previous: string, { seq, at, action, bodyDigest }: EntryHead): string {
  return sha256(JSON.stringify([previous, seq, at, action, bodyDigest]));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
