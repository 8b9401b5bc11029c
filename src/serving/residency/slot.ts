import type { CompiledAdapter } from '../../adapters/index.ts';
import type { EspalierError, Lease } from '../../base/index.ts';
import type { AdapterSource } from '../messages.ts';

/**
 * Where an adapter is: `absent -> waiting -> loading -> ready <-> in-use -> absent`. It is `host` when only its files are in memory,
 * `evicting` when it has been told to go and the last request that uses it has not ended, and `failed` until its time to retry.
 */
export type SlotState = 'waiting' | 'loading' | 'ready' | 'in-use' | 'evicting' | 'host' | 'failed';

/** Who waits for an adapter. Exactly one of the two is called, once, unless the wait is cancelled. */
export interface Waiter {
  readonly tenant: string | null;
  readonly isPin: boolean;
  /** It holds other adapters while it waits. */
  readonly isUrgent?: boolean;
  onReady(lease: Lease<CompiledAdapter>): void;
  onFailed(error: EspalierError): void;
}

/** A wait for an adapter, which may be over already. */
export interface Ticket {
  readonly isPending: boolean;
  /** Nothing is called back any more. A load that has begun goes on; one that nobody else wants is dropped. */
  cancel(): void;
}

export interface TenantUse {
  /** Its requests in flight. */
  numLeases: number;
  /** Milliseconds since 1970. */
  lastUsedMs: number;
  /** The tenant has unloaded it: it is none of its users when these requests have ended. */
  isLeaving: boolean;
}

/** What is known of one adapter that is in memory or on its way there. Only residency.ts and what it is made of write it. */
export class Slot {
  readonly digest: string;
  source: AdapterSource;
  /** Ready to be used by a step. */
  adapter: CompiledAdapter | undefined;
  isQueued = false;
  /** A mix holds others while it waits for this: it goes before all that hold nothing. */
  isUrgent = false;
  /** Of the monotonic clock. */
  queuedAtMs = 0;
  isLoading = false;
  /** It goes when it has come and nobody uses it any more. */
  isLeaving = false;
  /** A mix for which the ready tier has no room. */
  isLoose = false;
  /** Exact once it has been loaded, an estimate before. */
  sizeBytes: number;
  /** Pins included. */
  numLeases = 0;
  readonly waiters = new Set<Waiter>();
  readonly tenants = new Map<string | null, TenantUse>();

  constructor(source: AdapterSource) {
    this.digest = source.digest;
    this.source = source;
    this.sizeBytes = source.sizeBytes ?? 0;
  }

  get state(): SlotState {
    if (this.adapter) return this.isLeaving ? 'evicting' : this.numLeases > 0 ? 'in-use' : 'ready';
    if (this.isLoading) return 'loading';
    return this.isQueued ? 'waiting' : 'host';
  }

  useOf(tenant: string | null): TenantUse {
    const known = this.tenants.get(tenant);
    if (known) return known;
    const use = { numLeases: 0, lastUsedMs: 0, isLeaving: false };
    this.tenants.set(tenant, use);
    return use;
  }

  isAwaitedBy(tenant: string | null): boolean {
    return [...this.waiters].some((waiter) => waiter.tenant === tenant);
  }

  /** @param cancel ends the wait, if it is not over */
  ticketOf(waiter: Waiter, cancel: () => void): Ticket {
    const { waiters } = this;
    return {
      get isPending() {
        return waiters.has(waiter);
      },
      cancel,
    };
  }

  /** The tenants that have used it since it came into memory, or wait for it. */
  get users(): Set<string | null> {
    return new Set([...this.tenants.keys(), ...[...this.waiters].map(({ tenant }) => tenant)]);
  }

  /** One lease more. @param nowMs since 1970 @returns ends it */
  use(tenant: string | null, isPin: boolean, nowMs: number): () => void {
    this.numLeases++;
    const use = this.useOf(tenant);
    use.lastUsedMs = nowMs;
    use.isLeaving = false;
    if (!isPin) use.numLeases++;
    return () => {
      this.numLeases--;
      if (!isPin) use.numLeases--;
      this.leave(tenant);
    };
  }

  /** A tenant that has unloaded it, and has no request left, is none of its users. */
  leave(tenant: string | null): void {
    const use = this.tenants.get(tenant);
    if (use?.isLeaving && use.numLeases === 0) this.tenants.delete(tenant);
  }

  isOthersToo(tenant: string | null): boolean {
    return this.users.size > (this.users.has(tenant) ? 1 : 0);
  }
}
