import { BASE_ADAPTER, composeAdapters, type CompiledAdapter } from '../../adapters/index.ts';
import { asEspalierError, assert, Lease, type EspalierError } from '../../base/index.ts';
import type { AdapterMix, AdapterSource } from '../messages.ts';
import { LoadQueue } from './load-queue.ts';
import type { AdapterResidency } from './residency.ts';
import type { Ticket } from './slot.ts';

/** What a request needs while it runs: its adapter, and the leases under which that is in memory. */
export interface Admitted {
  readonly adapter: CompiledAdapter;
  readonly leases: readonly Lease<CompiledAdapter>[];
}

/** Exactly one is called, once, unless the wait is cancelled. */
interface Admitting {
  onReady(admitted: Admitted): void;
  onFailed(error: EspalierError): void;
}

/**
 * Gets requests their adapters: none, one, or a mix, which is made once and then kept like any adapter. Of the mixes that have to wait, one at a time
 * holds some parts while it waits for others: two that each held what the other needs room for would wait for ever. Tenants take turns.
 */
export class AdapterAdmission {
  readonly #residency: AdapterResidency;
  readonly #waiting = new LoadQueue<WaitingMix>();
  readonly #loose = new LooseMixes();
  #current: WaitingMix | undefined;
  #isBeginning = false;

  constructor(residency: AdapterResidency) {
    this.#residency = residency;
  }

  admit(adapter: AdapterSource | AdapterMix | null, on: Admitting): Ticket | undefined {
    if (!adapter) {
      on.onReady({ adapter: BASE_ADAPTER, leases: [] });
      return undefined;
    }
    if (!('parts' in adapter)) {
      return this.#residency.acquire(adapter, {
        onReady: (lease) => on.onReady({ adapter: lease.value, leases: [lease] }),
        onFailed: (error) => on.onFailed(error),
      });
    }
    const made = this.#residency.acquireReady(adapter.digest, adapter.parts[0].source.tenant);
    if (made) {
      on.onReady({ adapter: made.value, leases: [made] });
      return undefined;
    }
    const mix = new WaitingMix(this.#residency, this.#loose, adapter, on, () => this.#afterMix(mix));
    // Nothing to wait for: it holds all of its parts, or none.
    const isReady = this.isReady(adapter);
    if (isReady) mix.begin();
    else this.#waiting.push(mix.tenant, mix);
    this.#beginNext();
    return mix;
  }

  /** Whether nothing has to be waited for. */
  isReady(adapter: AdapterSource | AdapterMix): boolean {
    if (this.#residency.isReady(adapter.digest)) return true;
    return 'parts' in adapter && adapter.parts.every(({ source }) => this.#residency.isReady(source.digest));
  }

  #afterMix(mix: WaitingMix): void {
    if (mix === this.#current) this.#current = undefined;
    else this.#waiting.remove(mix.tenant, mix);
    this.#beginNext();
  }

  /** A loop and no recursion: thousands may wait for a mix that the first of them makes. */
  #beginNext(): void {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    while (!this.#current) {
      const [mix] = this.#waiting.heads();
      if (!mix) break;
      this.#waiting.take(mix.tenant, mix);
      this.#current = mix;
      mix.begin();
    }
    this.#isBeginning = false;
  }
}

/** A mix on its way: all of its parts, or none. */
class WaitingMix implements Ticket {
  readonly #residency: AdapterResidency;
  readonly #loose: LooseMixes;
  readonly #mix: AdapterMix;
  readonly #on: Admitting;
  readonly #onOver: () => void;
  readonly #tickets: Ticket[] = [];
  readonly #leases: (Lease<CompiledAdapter> | undefined)[];
  #isBegun = false;
  #isOver = false;

  constructor(residency: AdapterResidency, loose: LooseMixes, mix: AdapterMix, on: Admitting, onOver: () => void) {
    this.#residency = residency;
    this.#loose = loose;
    this.#mix = mix;
    this.#on = on;
    this.#onOver = onOver;
    this.#leases = mix.parts.map(() => undefined);
  }

  get tenant(): string | null {
    return this.#mix.parts[0].source.tenant;
  }

  get isPending(): boolean {
    return !this.#isOver;
  }

  begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    const error = this.#residency.refusalOf(this.#mix.parts.map(({ source }) => source));
    if (error) this.#fail(error);
    for (const [index, { source }] of this.#mix.parts.entries()) {
      if (this.#isOver) return;
      const ticket = this.#residency.acquire(source, {
        isUrgent: true,
        onReady: (lease) => this.#receive(index, lease),
        onFailed: (reason) => this.#fail(reason),
      });
      this.#tickets.push(ticket);
    }
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#letGo();
    this.#end();
  }

  #receive(index: number, lease: Lease<CompiledAdapter>): void {
    this.#leases[index] = lease;
    const leases = this.#leases.filter((held) => held !== undefined);
    if (leases.length < this.#leases.length) return;
    let admitted: Admitted;
    try {
      admitted = this.#compose(leases);
    } catch (error) {
      this.#fail(asEspalierError(error));
      return;
    }
    this.#isOver = true;
    // First come, first served: the next begins behind this one.
    this.#on.onReady(admitted);
    this.#onOver();
  }

  /** The mix under a lease of its own, or, where there is no room for it beside its parts, on theirs. */
  #compose(leases: readonly Lease<CompiledAdapter>[]): Admitted {
    const { digest, parts } = this.#mix;
    const { tenant } = parts[0].source;
    // Another request that waited for the same mix may have made it.
    let lease = this.#residency.acquireReady(digest, tenant);
    if (!lease) {
      const loose = this.#loose.find(digest);
      if (loose) return { adapter: loose.value, leases: [...leases, loose] };
      const adapter = composeAdapters(leases.map((held, n) => ({ adapter: held.value, weight: parts[n].weight })));
      lease = this.#residency.keep(digest, tenant, adapter);
      if (!lease) return { adapter, leases: [...leases, this.#loose.add(digest, adapter)] };
    }
    this.#letGo();
    return { adapter: lease.value, leases: [lease] };
  }

  #fail(error: EspalierError): void {
    if (this.#isOver) return;
    this.#letGo();
    this.#end();
    this.#on.onFailed(error);
  }

  #letGo(): void {
    for (const ticket of this.#tickets) ticket.cancel();
    for (const [index, lease] of this.#leases.entries()) {
      this.#leases[index] = undefined;
      lease?.[Symbol.dispose]();
    }
  }

  #end(): void {
    this.#isOver = true;
    this.#onOver();
  }
}

/** Mixes for which there is no room beside their parts: no tier counts them, so each is there once, while somebody uses it. */
class LooseMixes {
  readonly #mixes = new Map<string, { readonly adapter: CompiledAdapter; numUsers: number }>();

  find(digest: string): Lease<CompiledAdapter> | undefined {
    return this.#mixes.has(digest) ? this.#lease(digest) : undefined;
  }

  add(digest: string, adapter: CompiledAdapter): Lease<CompiledAdapter> {
    this.#mixes.set(digest, { adapter, numUsers: 0 });
    return this.#lease(digest);
  }

  #lease(digest: string): Lease<CompiledAdapter> {
    const mix = this.#mixes.get(digest);
    assert(mix, `${digest} was made`);
    mix.numUsers++;
    return new Lease(mix.adapter, () => {
      if (--mix.numUsers === 0) this.#mixes.delete(digest);
    });
  }
}
