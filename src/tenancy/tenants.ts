import { fail, isName, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';
import { checkLimits, LIMIT_NAMES, NO_LIMITS, type TenantLimits } from './limits.ts';

export interface Tenant extends TenantLimits {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

interface TenantRow {
  readonly name: string;
  readonly created_at: number;
  readonly weight: number | null;
  readonly max_concurrent: number | null;
  readonly requests_per_minute: number | null;
  readonly tokens_per_minute: number | null;
  readonly max_priority: number | null;
  readonly max_adapters: number | null;
  readonly max_adapter_bytes: number | null;
}

const COLUMNS = {
  weight: 'weight',
  maxConcurrent: 'max_concurrent',
  requestsPerMinute: 'requests_per_minute',
  tokensPerMinute: 'tokens_per_minute',
  maxPriority: 'max_priority',
  maxAdapters: 'max_adapters',
  maxAdapterBytes: 'max_adapter_bytes',
} as const satisfies Record<keyof TenantLimits, keyof TenantRow>;

/** The tenants of this home. A tenant's name is the first part of its adapters' references. */
export class Tenants {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** @throws REQUEST_INVALID TENANT_EXISTS */
  create(name: string, limits: Partial<TenantLimits> = {}): Tenant {
    if (!isName(name)) {
      fail(
        'REQUEST_INVALID',
        `tenant "${name}" must begin with a letter or digit and hold only a-z, 0-9, ".", "_", "-"`,
        {
          param: 'tenant',
        },
      );
    }
    checkLimits(limits);
    return this.#database.transaction(() => {
      const numAdded = this.#database.run(
        'INSERT INTO tenants (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING',
        name,
        Math.floor(this.#clock.epochMs()),
      );
      if (numAdded === 0) fail('TENANT_EXISTS', `tenant "${name}" exists already`, { param: 'tenant' });
      return this.setLimits(name, limits);
    });
  }

  /** @throws TENANT_NOT_FOUND */
  get(name: string): Tenant {
    return this.find(name) ?? failUnknownTenant(name);
  }

  /** The answer for a tenant that does not exist, or must not be seen. @throws TENANT_NOT_FOUND always */
  refuseUnknown(name: string): never {
    return failUnknownTenant(name);
  }

  find(name: string): Tenant | undefined {
    const row = this.#database.get<TenantRow>('SELECT * FROM tenants WHERE name = ?', name);
    return row && tenantOf(row);
  }

  /** What a tenant may take now, also when another process has changed it. Nothing is limited of one that is not known. */
  limitsOf(name: string): TenantLimits {
    return this.find(name) ?? NO_LIMITS;
  }

  list(): Tenant[] {
    return this.#database.all<TenantRow>('SELECT * FROM tenants ORDER BY name').map(tenantOf);
  }

  /** Changes the limits that are given; null takes one away. @throws TENANT_NOT_FOUND REQUEST_INVALID */
  setLimits(name: string, limits: Partial<TenantLimits>): Tenant {
    checkLimits(limits);
    const changed = LIMIT_NAMES.filter((limit) => limits[limit] !== undefined);
    if (changed.length > 0) {
      this.#database.run(
        `UPDATE tenants SET ${changed.map((limit) => `${COLUMNS[limit]} = ?`).join(', ')} WHERE name = ?`,
        ...changed.map((limit) => limits[limit] ?? null),
        name,
      );
    }
    return this.get(name);
  }

  /** Removes a tenant and its keys. What it has elsewhere is for the caller to look for. @throws TENANT_NOT_FOUND */
  remove(name: string): void {
    if (this.#database.run('DELETE FROM tenants WHERE name = ?', name) === 0) failUnknownTenant(name);
  }
}

export function failUnknownTenant(name: string): never {
  return fail('TENANT_NOT_FOUND', `no tenant "${name}": create it with "espalier tenants create ${name}"`, {
    param: 'tenant',
  });
}

function tenantOf(row: TenantRow): Tenant {
  return {
    name: row.name,
    weight: row.weight,
    maxConcurrent: row.max_concurrent,
    requestsPerMinute: row.requests_per_minute,
    tokensPerMinute: row.tokens_per_minute,
    maxPriority: row.max_priority,
    maxAdapters: row.max_adapters,
    maxAdapterBytes: row.max_adapter_bytes,
    createdAt: row.created_at,
  };
}
