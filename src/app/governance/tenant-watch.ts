import type { LoadedNames } from '../adapters/loaded-names.ts';
import type { Platform } from '../platform.ts';
import type { ServedBases } from '../served-bases.ts';

/** On whose behalf a tenant's shadows are asked: they share no cache and no turn with its clients. No tenant can be called so. */
export function shadowOf(tenant: string): string {
  return `${tenant} (shadow)`;
}

/**
 * Which tenants a server has answered, so that it forgets those that are gone: their adapters, loaded names and cached prefixes. A tenant may be
 * erased by another process; one of the same name that was made since is another tenant.
 */
export class TenantWatch {
  readonly #platform: Pick<Platform, 'tenants'>;
  readonly #bases: ServedBases;
  readonly #names: LoadedNames;
  /** The time of a tenant's making, by its name. */
  readonly #seen = new Map<string, number>();

  constructor(platform: Pick<Platform, 'tenants'>, bases: ServedBases, names: LoadedNames) {
    this.#platform = platform;
    this.#bases = bases;
    this.#names = names;
  }

  /** A request of this tenant has come. */
  see(tenant: string): void {
    if (!this.#seen.has(tenant)) this.#seen.set(tenant, this.#platform.tenants.find(tenant)?.createdAt ?? 0);
  }

  /** Forgets the tenants that are not there any more. */
  async look(): Promise<void> {
    for (const [tenant, createdAt] of this.#seen) {
      if (this.#platform.tenants.find(tenant)?.createdAt === createdAt) continue;
      this.#seen.delete(tenant);
      this.#names.forget(tenant);
      const alive = this.#bases.all.filter(({ engine }) => engine.isAlive);
      // What its shadows have asked is its own too.
      for (const name of [tenant, shadowOf(tenant)]) await Promise.all(alive.map(({ engine }) => engine.forget(name)));
    }
  }
}
