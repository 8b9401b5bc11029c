import type { Problem } from '../base/index.ts';
import type { AuditLog, EntryRow } from './audit-log.ts';
import { digestOfBody, GENESIS, hashOfEntry, type JsonFields } from './chain.ts';
import { parseRanges } from './ranges.ts';

/** The end of the chain: whoever keeps it elsewhere can tell later that nothing up to here was changed or taken away. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export interface AuditVerdict {
  readonly numEntries: number;
  /** Of them, those whose body was erased with its tenant. */
  readonly numErased: number;
  readonly head: AuditHead | null;
  /** Empty: the log is whole. */
  readonly problems: readonly Problem[];
}

/** The action whose entries say what was erased. */
const ERASE_ACTION = 'tenant.erase';

/**
 * Reads the whole log and computes every hash anew.
 * @param known an earlier end of the chain, kept elsewhere: without it a log whose last entries were taken away looks whole
 */
export function verifyChain(log: AuditLog, known?: AuditHead): AuditVerdict {
  const problems: Problem[] = [];
  const erased: number[] = [];
  const accounted: [number, number][] = [];
  let head: AuditHead | null = null;
  let numEntries = 0;
  let hasKnown = false;
  for (const row of log.rows()) {
    const report = (message: string): unknown => problems.push({ where: `entry ${row.seq}`, message });
    const expected: number = (head?.seq ?? 0) + 1;
    if (row.seq !== expected) report(`follows entry ${expected - 1}: entries between them are missing`);
    const { seq, at, action, body_digest: bodyDigest } = row;
    if (hashOfEntry(head?.hash ?? GENESIS, { seq, at, action, bodyDigest }) !== row.hash) {
      report('has a hash that does not follow from the entry before it: one of them was changed');
    }
    const body = bodyOf(row);
    if (body === undefined) erased.push(seq);
    else if (body === null) report('is erased in part');
    else if (digestOfBody(body) !== bodyDigest) report('says something else than what was recorded');
    else if (action === ERASE_ACTION) accounted.push(...accountedBy(body.detail, seq));
    if (known?.seq === seq) {
      hasKnown = true;
      if (known.hash !== row.hash) report(`has another hash than the one that is known (${known.hash})`);
    }
    head = { seq, hash: row.hash };
    numEntries++;
  }
  if (known && !hasKnown)
    problems.push({ where: `entry ${known.seq}`, message: 'is known, and is not there any more' });
  for (const seq of erased) {
    if (accounted.some(([from, to]) => from <= seq && seq <= to)) continue;
    problems.push({ where: `entry ${seq}`, message: 'is empty, and no erasure of a tenant accounts for it' });
  }
  return { numEntries, numErased: erased.length, head, problems };
}

/** Undefined: it was erased; null: it is neither whole nor erased. */
function bodyOf({ actor, tenant, target, detail, salt }: EntryRow) {
  if (actor !== null && target !== null && detail !== null && salt !== null) {
    return { actor, tenant, target, detail, salt };
  }
  return [actor, tenant, target, detail, salt].every((field) => field === null) ? undefined : null;
}

/** An erasure accounts for entries before its own only. */
function accountedBy(detail: string, seq: number): [number, number][] {
  const { entries } = JSON.parse(detail) as JsonFields;
  return typeof entries === 'string' ? parseRanges(entries).filter(([, to]) => to < seq) : [];
}
