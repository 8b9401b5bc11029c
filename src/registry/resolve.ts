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
  const reference = parseReference(text) ?? failUnknown(text);
  if (reference.kind === 'digest') {
    const found =
      tenant === null
        ? findVersion(database, 'byDigest', reference.digest)
        : findVersion(database, 'byDigestOfTenant', reference.digest, tenant);
    return found ?? failUnknown(text);
  }
  if (tenant !== null && reference.tenant !== tenant) failUnknown(text);
  const found =
    reference.kind === 'version'
      ? findVersion(database, 'byVersion', reference.tenant, reference.task, reference.version)
      : findVersion(database, 'byAlias', reference.tenant, reference.task, reference.alias ?? LATEST);
  return found ?? failUnknown(text);
}
