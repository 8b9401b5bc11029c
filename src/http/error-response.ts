import { EspalierError, type ErrorCode, type ErrorKind } from '../base/index.ts';

interface KindEntry {
  readonly status: number;
  /** OpenAI's `type`. */
  readonly type: string;
}

/** Total: a new kind of error does not compile until it has a status. */
const KINDS = {
  invalid: { status: 400, type: 'invalid_request_error' },
  'not-found': { status: 404, type: 'invalid_request_error' },
  conflict: { status: 409, type: 'invalid_request_error' },
  denied: { status: 401, type: 'invalid_request_error' },
  overloaded: { status: 429, type: 'rate_limit_error' },
  unavailable: { status: 503, type: 'service_unavailable_error' },
  timeout: { status: 408, type: 'timeout_error' },
  // Nobody reads it: the client has gone, or the server is going.
  cancelled: { status: 499, type: 'request_cancelled' },
  internal: { status: 500, type: 'server_error' },
} as const satisfies Record<ErrorKind, KindEntry>;

/**
 * The codes that a client can cause, with the name that OpenAI's clients know. Any other code is our own trouble (its message may
 * hold paths of this machine) and is told as an internal error.
 */
const PUBLIC_CODES: Partial<Record<ErrorCode, string>> = {
  REQUEST_INVALID: 'invalid_request',
  DATA_INVALID: 'invalid_data',
  MODEL_NOT_FOUND: 'model_not_found',
  ADAPTER_NOT_FOUND: 'model_not_found',
  ADAPTER_UNAVAILABLE: 'model_unavailable',
  ADAPTER_IN_USE: 'model_in_use',
  PROMOTION_REFUSED: 'promotion_refused',
  DELIVERY_NOT_FOUND: 'delivery_not_found',
  ANSWER_NOT_FOUND: 'answer_not_found',
  TENANT_NOT_FOUND: 'tenant_not_found',
  TENANT_EXISTS: 'tenant_exists',
  KEY_INVALID: 'invalid_api_key',
  KEY_NOT_FOUND: 'api_key_not_found',
  STORED_FILE_NOT_FOUND: 'file_not_found',
  UPLOAD_NOT_FOUND: 'upload_not_found',
  JOB_NOT_FOUND: 'job_not_found',
  CONTEXT_TOO_LONG: 'context_length_exceeded',
  STORAGE_BUSY: 'storage_busy',
  OVERLOADED: 'rate_limit_exceeded',
  ENGINE_UNAVAILABLE: 'engine_unavailable',
  DEADLINE_EXCEEDED: 'deadline_exceeded',
  QUOTA_EXCEEDED: 'quota_exceeded',
  CANCELLED: 'request_cancelled',
};

/** Where the error has no estimate of its own. */
const RETRY_AFTER_MS = 1000;

/** Errors of HTTP itself, which no room below knows. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export interface WireError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly error: {
      readonly message: string;
      readonly type: string;
      readonly param: string | null;
      readonly code: string | null;
    };
  };
}

/** What the client is told of anything that was thrown. Details of internal errors go to the log, under the request's id. */
export function wireError(error: unknown, requestId: string): WireError {
  if (error instanceof HttpError) {
    const body = { message: error.message, type: KINDS.invalid.type, param: null, code: error.code };
    return { status: error.status, headers: error.headers, body: { error: body } };
  }
  const code = error instanceof EspalierError ? PUBLIC_CODES[error.code] : undefined;
  if (!(error instanceof EspalierError) || code === undefined) {
    const message = `the server failed to answer; its log tells why, under ${requestId}`;
    const { status, type } = KINDS.internal;
    return { status, headers: {}, body: { error: { message, type, param: null, code: 'internal_error' } } };
  }
  const { status, type } = KINDS[error.kind];
  return {
    status,
    headers: headersOf(error),
    body: { error: { message: error.message, type, param: error.param ?? null, code } },
  };
}

export function isInternal({ status }: WireError): boolean {
  return status === KINDS.internal.status;
}

export function errorResponse({ status, headers, body }: WireError): Response {
  return Response.json(body, { status, headers });
}

function headersOf(error: EspalierError): Record<string, string> {
  if (error.kind === 'denied') return { 'WWW-Authenticate': 'Bearer' };
  if (!error.canRetry) return {};
  return { 'Retry-After': String(Math.ceil((error.retryAfterMs ?? RETRY_AFTER_MS) / 1000)) };
}
