import { fail, isName, type Clock } from '../base/index.ts';
import type { Database } from '../storage/index.ts';

export interface Tenant {
  readonly name: string;
  /** Requests that may be in flight at once in one process; null is no limit of its own. */
  readonly maxConcurrent: number | null;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

interface TenantRow {
  readonly name: string;
  readonly max_concurrent: number | null;
  readonly created_at: number;
}

/** The tenants of this home. A tenant's name is the first part of its adapters' references. */
export class Tenants {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** @throws REQUEST_INVALID TENANT_EXISTS */
  create(name: string, options: { readonly maxConcurrent?: number | null } = {}): Tenant {
    if (!isName(name)) {
      fail(
        'REQUEST_INVALID',
        `tenant "${name}" must begin with a letter or digit and hold only a-z, 0-9, ".", "_", "-"`,
        {
          param: 'tenant',
        },
      );
    }
    const maxConcurrent = options.maxConcurrent ?? null;
    checkLimit(maxConcurrent);
    const numAdded = this.#database.run(
      'INSERT INTO tenants (name, max_concurrent, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
      name,
      maxConcurrent,
      Math.floor(this.#clock.epochMs()),
    );
    if (numAdded === 0) fail('TENANT_EXISTS', `tenant "${name}" exists already`, { param: 'tenant' });
    return this.get(name);
  }

  /** @throws TENANT_NOT_FOUND */
  get(name: string): Tenant {
    return this.find(name) ?? failUnknownTenant(name);
  }

  find(name: string): Tenant | undefined {
    const row = this.#database.get<TenantRow>('SELECT * FROM tenants WHERE name = ?', name);
    return row && tenantOf(row);
  }

  list(): Tenant[] {
    return this.#database.all<TenantRow>('SELECT * FROM tenants ORDER BY name').map(tenantOf);
  }

  /** @throws TENANT_NOT_FOUND REQUEST_INVALID */
  setMaxConcurrent(name: string, maxConcurrent: number | null): Tenant {
    checkLimit(maxConcurrent);
    this.#database.run('UPDATE tenants SET max_concurrent = ? WHERE name = ?', maxConcurrent, name);
    return this.get(name);
  }

  /** Removes a tenant and its keys. Its adapters are the registry's: the caller removes them first. @throws TENANT_NOT_FOUND */
  remove(name: string): void {
    if (this.#database.run('DELETE FROM tenants WHERE name = ?', name) === 0) failUnknownTenant(name);
  }
}

export function failUnknownTenant(name: string): never {
  return fail('TENANT_NOT_FOUND', `no tenant "${name}": create it with "espalier tenants create ${name}"`, {
    param: 'tenant',
  });
}

function checkLimit(maxConcurrent: number | null): void {
  if (maxConcurrent === null || (Number.isSafeInteger(maxConcurrent) && maxConcurrent >= 0)) return;
  fail('REQUEST_INVALID', `maxConcurrent must be a whole number, 0 or more, got ${maxConcurrent}`, {
    param: 'maxConcurrent',
  });
}

function tenantOf({ name, max_concurrent, created_at }: TenantRow): Tenant {
  return { name, maxConcurrent: max_concurrent, createdAt: created_at };
}
