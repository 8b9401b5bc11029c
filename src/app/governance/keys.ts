import type { KeyServices } from '../../http/index.ts';
import { fail } from '../../base/index.ts';
import type { ApiKey, NewApiKey, Principal } from '../../tenancy/index.ts';
import type { Platform } from '../platform.ts';
import { keyEntry } from './entries.ts';

type Keeping = Pick<Platform, 'keys' | 'audit'>;

/**
 * Makes a key; its text is in the result and nowhere else.
 * @param actor whoever asked for it, for the audit log
 * @throws TENANT_NOT_FOUND REQUEST_INVALID
 */
export function createKey(
  { keys, audit }: Keeping,
  actor: string,
  asked: NewApiKey,
): { readonly secret: string; readonly key: ApiKey } {
  return audit.during(
    () => keys.create(asked),
    ({ key }) => keyEntry(actor, 'key.create', key),
  );
}

/** Ends a key at once, in every process. @throws KEY_NOT_FOUND */
export function revokeKey({ keys, audit }: Keeping, actor: string, keyId: string): ApiKey {
  return audit.during(
    () => keys.revoke(keyId),
    (key) => keyEntry(actor, 'key.revoke', key),
  );
}

/** Keys over HTTP: a tenant's admin keeps the tenant's, the operator all. */
export function makeKeyServices(platform: Keeping): KeyServices {
  const { keys } = platform;
  return {
    list: ({ tenant }, of) => keys.list(tenant ?? of),
    create: (principal, asked) =>
      createKey(platform, principal.keyId, { ...asked, tenant: ownerOf(principal, asked.tenant) }),
    revoke({ tenant, keyId: actor }, keyId) {
      const isTheirs = tenant === null || keys.list(tenant).some((key) => key.keyId === keyId);
      // A foreign key and one that does not exist look the same.
      return isTheirs ? revokeKey(platform, actor, keyId) : keys.refuseUnknown(keyId);
    },
  };
}

/** @throws TENANT_NOT_FOUND a tenant names another than itself: also one that exists */
function ownerOf({ tenant }: Principal, asked: string | null | undefined): string | null {
  if (tenant === null) return asked ?? null;
  if (asked === undefined || asked === tenant) return tenant;
  return fail('TENANT_NOT_FOUND', `no tenant "${asked}": a key of ${tenant} makes keys of ${tenant}`, {
    param: 'tenant',
  });
}
