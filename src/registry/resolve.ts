import type { Database } from '../storage/index.ts';
import type { AdapterVersion } from './adapter-version.ts';
import { LATEST } from './aliases.ts';
import { findVersion } from './catalog.ts';
import { failUnknown, parseReference } from './reference.ts';

/**
 * The version that a reference names, for a tenant (null: the operator, who sees all).
 * @throws ADAPTER_NOT_FOUND it is unknown, malformed, or another tenant's: the three cannot be told apart
 */
export function resolveReference(database: Database, tenant: string | null, text: string): AdapterVersion {
  return findReference(database, tenant, text) ?? failUnknown(text);
}

/** The same, undefined where it is unknown, malformed or another tenant's. */
export function findReference(database: Database, tenant: string | null, text: string): AdapterVersion | undefined {
  const reference = parseReference(text);
  if (!reference) return undefined;
  if (reference.kind === 'digest') {
    return tenant === null
      ? findVersion(database, 'byDigest', reference.digest)
      : findVersion(database, 'byDigestOfTenant', reference.digest, tenant);
  }
  if (tenant !== null && reference.tenant !== tenant) return undefined;
  return reference.kind === 'version'
    ? findVersion(database, 'byVersion', reference.tenant, reference.task, reference.version)
    : findVersion(database, 'byAlias', reference.tenant, reference.task, reference.alias ?? LATEST);
}
