import type { Offered, Session } from './types.ts';

/** What the server answered instead of what was asked. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The server has no such route: it was built, or configured, without it. */
  get isNotOffered(): boolean {
    return this.code === 'unknown_url' || this.code === 'method_not_allowed';
  }
}

export interface RequestOptions {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Sent as JSON, or as a form. */
  readonly body?: object | FormData;
  readonly signal?: AbortSignal;
}

/** The server's HTTP API with one key. The key travels in a header and never in an address. */
export class ApiClient {
  readonly session: Session;
  readonly offered: Offered;
  readonly #key: string;
  readonly #onRefused: () => void;

  private constructor(key: string, session: Session, offered: Offered, onRefused: () => void) {
    this.#key = key;
    this.session = session;
    this.offered = offered;
    this.#onRefused = onRefused;
  }

  /** @param onRefused called when the server does not take the key any more @throws ApiError the key is none */
  static async signIn(key: string, onRefused: () => void): Promise<ApiClient> {
    const [session, description] = await Promise.all([
      send(key, '/api/session', {}).then((response) => response.json() as Promise<Session>),
      send(key, '/openapi.json', {}).then((response) => response.json() as Promise<{ paths: Offered }>),
    ]);
    return new ApiClient(key, session, description.paths, onRefused);
  }

  /** Whether this server has a route, by its path as the description writes it. */
  offers(method: 'get' | 'post' | 'patch' | 'delete', path: string): boolean {
    return this.offered[path]?.[method] !== undefined;
  }

  /** @throws ApiError */
  async json<Body>(path: string, options: RequestOptions = {}): Promise<Body> {
    const response = await this.send(path, options);
    return (await response.json()) as Body;
  }

  /** @throws ApiError */
  async send(path: string, options: RequestOptions = {}): Promise<Response> {
    try {
      return await send(this.#key, path, options);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.#onRefused();
      throw error;
    }
  }
}

async function send(key: string, path: string, { method = 'GET', body, signal }: RequestOptions): Promise<Response> {
  const isForm = body instanceof FormData;
  const response = await fetch(path, {
    method,
    headers: {
      Authorization: `Bearer ${key}`,
      ...(body !== undefined && !isForm && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
    ...(signal && { signal }),
  });
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: { message: string; code: string | null } };
    return new ApiError(response.status, error.code ?? '', error.message);
  } catch {
    return new ApiError(response.status, '', text || `the server answered ${response.status}`);
  }
}
