/** Adapters in memory, whose loads end when a test says so, and requests for them. */
import assert from 'node:assert/strict';
import type { CompiledAdapter } from '../../src/adapters/index.ts';
import type { EspalierError, Lease } from '../../src/base/index.ts';
import type { AdapterSource, ResidencyOptions } from '../../src/serving/messages.ts';
import { AdapterResidency } from '../../src/serving/residency/residency.ts';
import type { Ticket } from '../../src/serving/residency/slot.ts';
import { GatedLoader, TestClock } from './gated-loader.ts';

/** Bytes of a compiled adapter, and of its files. */
export const SIZE = 1_000;
/** See {@link SIZE}. */
export const FILES = 400;

/** Of the test that runs. */
export let loader: GatedLoader;
export let clock: TestClock;

/** Before each test. */
export function beginAnew(): void {
  loader = new GatedLoader((digest) => ({ sizeBytes: Number(digest.split(':')[1] ?? SIZE), fileBytes: FILES }));
  clock = new TestClock();
}

export function residencyOf(options: Partial<ResidencyOptions> = {}): AdapterResidency {
  return new AdapterResidency(loader, clock, {
    readyBytes: 3 * SIZE,
    hostBytes: 10 * FILES,
    policy: 'lru',
    ...options,
  });
}

export function sourceOf(digest: string, tenant: string | null = 'acme'): AdapterSource {
  return { digest, directory: `/adapters/${digest}`, tenant, sizeBytes: SIZE };
}

/** One request for an adapter, and what became of it. */
export class Request {
  lease: Lease<CompiledAdapter> | undefined;
  error: EspalierError | undefined;
  readonly ticket: Ticket;

  /** @param isUrgent of a mix, which holds other parts */
  constructor(residency: AdapterResidency, source: AdapterSource, isUrgent = false) {
    this.ticket = residency.acquire(source, {
      isUrgent,
      onReady: (lease) => {
        assert.ok(!this.lease && !this.error, 'told once');
        this.lease = lease;
      },
      onFailed: (error) => {
        assert.ok(!this.lease && !this.error, 'told once');
        this.error = error;
      },
    });
  }

  end(): void {
    this.lease?.[Symbol.dispose]();
    this.lease = undefined;
  }
}

/** Loads adapters and lets them go again. */
export async function warm(residency: AdapterResidency, ...digests: string[]): Promise<void> {
  for (const digest of digests) {
    const request = new Request(residency, sourceOf(digest));
    if (request.ticket.isPending) await loader.finish(digest);
    request.end();
  }
}

export function statesOf(residency: AdapterResidency, tenant: string | null = null): Record<string, string> {
  return Object.fromEntries(residency.list(tenant, 100).map(({ digest, state }) => [digest, state]));
}
