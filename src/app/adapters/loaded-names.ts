import { fail } from '../../base/index.ts';
import { referenceOf, type AdapterVersion, type Registry } from '../../registry/index.ts';

/** Names of one tenant: they cost memory even when they all point at one adapter. */
const MAX_NAMES = 1_000;

/**
 * The names under which tenants have loaded adapters on this server, as clients of vLLM do: each tenant has its own, they point at exact
 * versions, and they live as long as the server. A name has no `/`, `@` or `:`, so it can never be taken for a reference of the registry.
 */
export class LoadedNames {
  readonly #byTenant = new Map<string | null, Map<string, AdapterVersion>>();

  find(tenant: string | null, name: string): AdapterVersion | undefined {
    return this.#byTenant.get(tenant)?.get(name);
  }

  /** @throws REQUEST_INVALID the tenant has as many names as it may */
  requireRoom(tenant: string | null, name: string): void {
    const names = this.#byTenant.get(tenant);
    if (!names || names.has(name) || names.size < MAX_NAMES) return;
    const message = `${names.size} names are loaded already, at most ${MAX_NAMES} may be: unload one first`;
    fail('REQUEST_INVALID', message, { param: 'lora_name' });
  }

  set(tenant: string | null, name: string, version: AdapterVersion): void {
    const names = this.#byTenant.get(tenant) ?? new Map<string, AdapterVersion>();
    names.set(name, version);
    this.#byTenant.set(tenant, names);
  }

  delete(tenant: string | null, name: string): void {
    const names = this.#byTenant.get(tenant);
    names?.delete(name);
    if (names?.size === 0) this.#byTenant.delete(tenant);
  }

  /** Takes all names of a tenant away. */
  forget(tenant: string): void {
    this.#byTenant.delete(tenant);
  }

  /** A tenant's names, in the order of their loading. */
  of(tenant: string | null): readonly (readonly [name: string, version: AdapterVersion])[] {
    return [...(this.#byTenant.get(tenant) ?? [])];
  }

  /** Who has loaded any. */
  tenants(): readonly (string | null)[] {
    return [...this.#byTenant.keys()];
  }

  /** Whether any name of the tenant points at this adapter. */
  hasDigest(tenant: string | null, digest: string): boolean {
    return this.of(tenant).some(([, version]) => version.digest === digest);
  }
}

/** Whether a version is in the registry still. One that was removed never comes back, but another of the same name may, of a new tenant's. */
export function isPublished(registry: Pick<Registry, 'find'>, version: AdapterVersion): boolean {
  return registry.find(null, referenceOf(version))?.digest === version.digest;
}

export function isLoadableName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name);
}
