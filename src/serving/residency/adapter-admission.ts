import { BASE_ADAPTER, checkMixable, type CompiledAdapter } from '../../adapters/index.ts';
import { asEspalierError, TurnQueue, type EspalierError, type Lease } from '../../base/index.ts';
import type { AdapterMix, AdapterSource } from '../messages.ts';
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
 * Gets requests their adapters: none, one, or a mix, which is made once and then kept like any adapter. Of the mixes that have to wait for parts, one at a time
 * holds some parts while it waits for others: two that each held what the other needs room for would wait for ever. Tenants take turns.
 */
export class AdapterAdmission {
  readonly #residency: AdapterResidency;
  readonly #waiting = new TurnQueue<WaitingMix>();
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
    const mix = new WaitingMix(this.#residency, adapter, on, () => this.#afterMix(mix));
    // No part to wait for: it holds all of them, or none.
    if (adapter.parts.every(({ source }) => this.#residency.isReady(source.digest))) mix.begin();
    else this.#waiting.push(mix.tenant, mix);
    this.#beginNext();
    return mix;
  }

  /** Whether nothing has to be waited for. */
  isReady(adapter: AdapterSource | AdapterMix): boolean {
    return this.#residency.isReady(adapter.digest);
  }

  /** Also of a mix that is none of those that wait. */
  #afterMix(mix: WaitingMix): void {
    if (mix === this.#current) this.#current = undefined;
    else this.#waiting.remove(mix);
    this.#beginNext();
  }

  /** A loop and no recursion: thousands may wait for a mix that the first of them makes. */
  #beginNext(): void {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    while (!this.#current) {
      const [next] = this.#waiting.heads();
      if (!next) break;
      this.#waiting.take(next.tenant, next.item);
      this.#current = next.item;
      next.item.begin();
    }
    this.#isBeginning = false;
  }
}

/** A mix on its way: it holds all of its parts, or none; then it is being made. */
class WaitingMix implements Ticket {
  readonly #residency: AdapterResidency;
  readonly #mix: AdapterMix;
  readonly #on: Admitting;
  readonly #onHeld: () => void;
  readonly #tickets: Ticket[] = [];
  readonly #leases: (Lease<CompiledAdapter> | undefined)[];
  #isBegun = false;
  #isOver = false;

  /** @param onHeld told once, when it waits for no part any more */
  constructor(residency: AdapterResidency, mix: AdapterMix, on: Admitting, onHeld: () => void) {
    this.#residency = residency;
    this.#mix = mix;
    this.#on = on;
    this.#onHeld = onHeld;
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
    this.#isOver = true;
    this.#letGo();
    this.#onHeld();
  }

  #receive(index: number, lease: Lease<CompiledAdapter>): void {
    this.#leases[index] = lease;
    const leases = this.#leases.filter((held) => held !== undefined);
    if (leases.length < this.#leases.length) return;
    const { digest, parts } = this.#mix;
    try {
      for (const { value } of leases) checkMixable(value);
    } catch (error) {
      this.#fail(asEspalierError(error));
      return;
    }
    this.#leases.fill(undefined);
    const weighted = leases.map((held, n) => ({ lease: held, weight: parts[n].weight }));
    const ticket = this.#residency.mix({ digest, tenant: this.tenant }, weighted, {
      onReady: (made) => {
        this.#isOver = true;
        this.#on.onReady({ adapter: made.value, leases: [made] });
      },
      onFailed: (error) => this.#fail(error),
    });
    this.#tickets.push(ticket);
    // First come, first served: the next begins behind this one.
    this.#onHeld();
  }

  #fail(error: EspalierError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#letGo();
    this.#onHeld();
    this.#on.onFailed(error);
  }

  #letGo(): void {
    for (const ticket of this.#tickets) ticket.cancel();
    for (const [index, lease] of this.#leases.entries()) {
      this.#leases[index] = undefined;
      lease?.[Symbol.dispose]();
    }
  }
}
