import type { CompiledAdapter } from '../../adapters/index.ts';
import { EspalierError, type Lease } from '../../base/index.ts';

interface PinnedAdapter {
  readonly sizeBytes: number;
  readonly byTenant: Map<string | null, Lease<CompiledAdapter>>;
}

/** Leases without a request: by one a tenant keeps an adapter in memory, up to a limit on the bytes of all that are pinned. */
export class Pins {
  readonly #limitBytes: number;
  readonly #adapters = new Map<string, PinnedAdapter>();
  #sizeBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** An adapter that several tenants pin counts once. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  has(digest: string, tenant?: string | null): boolean {
    const pinned = this.#adapters.get(digest);
    return pinned !== undefined && (tenant === undefined || pinned.byTenant.has(tenant));
  }

  /** Whether another tenant than this one has pinned it. */
  hasOther(digest: string, tenant: string | null): boolean {
    const pinned = this.#adapters.get(digest);
    return pinned !== undefined && pinned.byTenant.size > (pinned.byTenant.has(tenant) ? 1 : 0);
  }

  /**
   * Takes the lease over, or disposes of it when the tenant has pinned the adapter already.
   * @returns OVERLOADED when too much is pinned already; the lease has been disposed of then
   */
  add(
    digest: string,
    tenant: string | null,
    sizeBytes: number,
    lease: Lease<CompiledAdapter>,
  ): EspalierError | undefined {
    const pinned = this.#adapters.get(digest) ?? { sizeBytes, byTenant: new Map() };
    if (pinned.byTenant.has(tenant)) {
      lease[Symbol.dispose]();
      return undefined;
    }
    if (pinned.byTenant.size === 0 && this.#sizeBytes + sizeBytes > this.#limitBytes) {
      lease[Symbol.dispose]();
      const message = `adapters that stay loaded take ${this.#sizeBytes} of at most ${this.#limitBytes} bytes and this one takes ${sizeBytes}: unload another first`;
      return new EspalierError('OVERLOADED', message);
    }
    if (pinned.byTenant.size === 0) this.#sizeBytes += sizeBytes;
    pinned.byTenant.set(tenant, lease);
    this.#adapters.set(digest, pinned);
    return undefined;
  }

  /** A pin that is not there is off already. */
  remove(digest: string, tenant: string | null): void {
    const pinned = this.#adapters.get(digest);
    const lease = pinned?.byTenant.get(tenant);
    if (!pinned || !lease) return;
    pinned.byTenant.delete(tenant);
    if (pinned.byTenant.size === 0) {
      this.#adapters.delete(digest);
      this.#sizeBytes -= pinned.sizeBytes;
    }
    lease[Symbol.dispose]();
  }
}
