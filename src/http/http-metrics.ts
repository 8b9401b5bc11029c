import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Of whole requests, streams to their last byte. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** Series of the HTTP face. Routes are counted by their pattern, never by a path that a client made up. */
export class HttpMetrics {
  readonly #registry = new Registry();
  readonly #requests = new Counter({
    name: 'espalier_http_requests_total',
    help: 'Requests that were answered',
    labelNames: ['method', 'route', 'status'] as const,
    registers: [this.#registry],
  });
  readonly #seconds = new Histogram({
    name: 'espalier_http_request_seconds',
    help: 'Time from a request to the last byte of its answer',
    labelNames: ['route'] as const,
    buckets: SECONDS,
    registers: [this.#registry],
  });
  readonly #inFlight = new Gauge({
    name: 'espalier_http_requests_in_flight',
    help: 'Requests that are being answered',
    registers: [this.#registry],
  });

  get contentType(): string {
    return this.#registry.contentType;
  }

  begin(): void {
    this.#inFlight.inc();
  }

  end(method: string, route: string, status: number, seconds: number): void {
    this.#inFlight.dec();
    this.#requests.inc({ method, route, status: String(status) });
    this.#seconds.observe({ route }, seconds);
  }

  /** Prometheus' text, ending with a line break. */
  async text(): Promise<string> {
    return this.#registry.metrics();
  }
}
