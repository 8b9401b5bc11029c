import { createHash } from 'node:crypto';
import { fail, isName, newId, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { failUnknownTenant } from './tenants.ts';

/** A reader asks models; a writer also publishes and trains; an admin also keeps keys. */
export const ROLES = ['admin', 'writer', 'reader'] as const;
export type Role = (typeof ROLES)[number];

/** The end of the year 9999: what comes later is a mistake, and no calendar shows it. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Who is asking. */
export interface Principal {
  /** Null is the operator: an admin who may act for every tenant. */
  readonly tenant: string | null;
  readonly role: Role;
  readonly keyId: string;
  /** A label inside the tenant, to which usage is counted; null or absent: none. */
  readonly project?: string | null;
}

/** What is kept of a key: never the key itself. */
export interface ApiKey extends Principal {
  readonly project: string | null;
  readonly label: string;
  /** The first characters of the key, to recognise it by. */
  readonly hint: string;
  /** Milliseconds since 1970, as are the other times. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

export interface NewApiKey {
  readonly tenant: string | null;
  readonly role: Role;
  readonly label?: string;
  /** Requests with the key are this project's, whatever they say; null: they may name one. */
  readonly project?: string | null;
  readonly expiresAt?: number | null;
}

interface KeyRow {
  readonly id: string;
  readonly tenant: string | null;
  readonly role: Role;
  readonly label: string;
  readonly project: string | null;
  readonly hint: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
}

const PREFIX = 'esp_';
const HINT_LENGTH = PREFIX.length + 4;
/** Longer than any key: what is longer is not hashed. */
const MAX_PRESENTED = 256;

/**
 * The API keys. A key has about 285 random bits, so a plain sha256 is enough to keep: there is nothing to guess. It is looked up by
 * its hash, so the time of a look-up says nothing about the key: who does not know it cannot choose the hash's digits.
 */
export class ApiKeys {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /**
   * Makes a key. Its text is in the result and nowhere else.
   * @throws TENANT_NOT_FOUND
   * @throws REQUEST_INVALID an operator's key is not an admin's, or the expiry is past
   */
  create({ tenant, role, label = '', project = null, expiresAt = null }: NewApiKey): {
    readonly secret: string;
    readonly key: ApiKey;
  } {
    const now = Math.floor(this.#clock.epochMs());
    if (!ROLES.includes(role))
      fail('REQUEST_INVALID', `role must be one of ${ROLES.join('|')}, got "${role}"`, { param: 'role' });
    if (tenant === null && role !== 'admin') {
      fail('REQUEST_INVALID', `a key without a tenant is the operator's: its role is admin, got "${role}"`, {
        param: 'role',
      });
    }
    if (expiresAt !== null && !(expiresAt > now && expiresAt <= LAST_MS)) {
      const when = new Date(expiresAt);
      const what = Number.isNaN(when.getTime()) ? String(expiresAt) : when.toISOString();
      fail('REQUEST_INVALID', `expires_at must be in the future, and before the year 10000, got ${what}`, {
        param: 'expires_at',
      });
    }
    if (project !== null && !isName(project)) {
      fail('REQUEST_INVALID', `project "${project}" must hold only a-z, 0-9, ".", "_", "-"`, { param: 'project' });
    }
    if (project !== null && tenant === null) {
      fail('REQUEST_INVALID', 'a project belongs to a tenant: an operator’s key has none', { param: 'project' });
    }
    // Two ids, because one has 24 characters.
    const secret = newId(newId(PREFIX));
    const key: ApiKey = {
      keyId: newId('key_'),
      tenant,
      role,
      label,
      project,
      hint: secret.slice(0, HINT_LENGTH),
      createdAt: now,
      expiresAt: expiresAt === null ? null : Math.floor(expiresAt),
      revokedAt: null,
    };
    this.#database.transaction(() => {
      if (tenant !== null && !this.#database.get('SELECT 1 FROM tenants WHERE name = ?', tenant))
        failUnknownTenant(tenant);
      if (tenant !== null && this.#database.get('SELECT 1 FROM erasures WHERE tenant = ?', tenant)) {
        failUnknownTenant(tenant);
      }
      this.#database.run(
        'INSERT INTO api_keys (id, tenant, hash, hint, label, project, role, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        key.keyId,
        tenant,
        hashOf(secret),
        key.hint,
        label,
        project,
        role,
        now,
        key.expiresAt,
      );
    });
    return { secret, key };
  }

  /** @throws KEY_INVALID it is unknown, revoked or expired; only who holds the real key learns which */
  authenticate(presented: string): Principal {
    const row =
      presented.length <= MAX_PRESENTED
        ? this.#database.get<KeyRow>('SELECT * FROM api_keys WHERE hash = ?', hashOf(presented))
        : undefined;
    if (!row) return fail('KEY_INVALID', 'the API key is not known here: send "Authorization: Bearer esp_…"');
    if (row.revoked_at !== null) fail('KEY_INVALID', `the API key ${row.id} has been revoked`);
    if (row.expires_at !== null && row.expires_at <= this.#clock.epochMs()) {
      fail('KEY_INVALID', `the API key ${row.id} has expired`);
    }
    return { tenant: row.tenant, role: row.role, keyId: row.id, project: row.project };
  }

  /** The keys of a tenant, or of everybody, oldest first. */
  list(tenant?: string | null): ApiKey[] {
    const rows =
      tenant === undefined
        ? this.#database.all<KeyRow>('SELECT * FROM api_keys ORDER BY created_at, id')
        : this.#database.all<KeyRow>('SELECT * FROM api_keys WHERE tenant IS ? ORDER BY created_at, id', tenant);
    return rows.map(keyOf);
  }

  /** Whether the key is still kept; one that was revoked is. */
  has(keyId: string): boolean {
    return this.#database.get('SELECT 1 FROM api_keys WHERE id = ?', keyId) !== undefined;
  }

  /** Ends a key at once, in every process. A revoked key stays revoked. @throws KEY_NOT_FOUND */
  revoke(keyId: string): ApiKey {
    this.#database.run(
      'UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL',
      Math.floor(this.#clock.epochMs()),
      keyId,
    );
    const row = this.#database.get<KeyRow>('SELECT * FROM api_keys WHERE id = ?', keyId);
    return row ? keyOf(row) : this.refuseUnknown(keyId);
  }

  /** The answer for a key that does not exist, or must not be seen. @throws KEY_NOT_FOUND always */
  refuseUnknown(keyId: string): never {
    return fail('KEY_NOT_FOUND', `no API key has the id "${keyId}"`, { param: 'key' });
  }
}

function hashOf(secret: string): Uint8Array {
  return createHash('sha256').update(secret).digest();
}

function keyOf(row: KeyRow): ApiKey {
  return {
    keyId: row.id,
    tenant: row.tenant,
    role: row.role,
    label: row.label,
    project: row.project,
    hint: row.hint,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
