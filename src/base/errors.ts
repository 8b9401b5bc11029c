/**
 * Every error that Espalier reports, in one table: a stable code, its kind (which decides the HTTP status at the edge)
 * and whether the same request can succeed when it is sent again.
 */
export type ErrorKind =
  'invalid' | 'not-found' | 'conflict' | 'denied' | 'overloaded' | 'unavailable' | 'timeout' | 'cancelled' | 'internal';

interface ErrorEntry {
  readonly kind: ErrorKind;
  readonly retry: boolean;
}

export const ERRORS = {
  USAGE_INVALID: { kind: 'invalid', retry: false },
  REQUEST_INVALID: { kind: 'invalid', retry: false },
  DATA_INVALID: { kind: 'invalid', retry: false },
  CONFIG_INVALID: { kind: 'invalid', retry: false },
  FILE_INVALID: { kind: 'invalid', retry: false },
  FILE_NOT_FOUND: { kind: 'not-found', retry: false },
  TOKENIZER_INVALID: { kind: 'invalid', retry: false },
  MODEL_INVALID: { kind: 'invalid', retry: false },
  MODEL_NOT_FOUND: { kind: 'not-found', retry: false },
  MODEL_UNSUPPORTED: { kind: 'invalid', retry: false },
  DOWNLOAD_FAILED: { kind: 'unavailable', retry: true },
  DIGEST_MISMATCH: { kind: 'invalid', retry: false },
  ADAPTER_INVALID: { kind: 'invalid', retry: false },
  ADAPTER_NOT_FOUND: { kind: 'not-found', retry: false },
  ADAPTER_UNAVAILABLE: { kind: 'unavailable', retry: true },
  TARGET_UNMATCHED: { kind: 'invalid', retry: false },
  CHECKPOINT_INVALID: { kind: 'invalid', retry: false },
  TRAINING_DIVERGED: { kind: 'invalid', retry: false },
  TENANT_NOT_FOUND: { kind: 'not-found', retry: false },
  TENANT_EXISTS: { kind: 'conflict', retry: false },
  TENANT_IN_USE: { kind: 'conflict', retry: false },
  ADAPTER_IN_USE: { kind: 'conflict', retry: false },
  PROMOTION_REFUSED: { kind: 'conflict', retry: false },
  DELIVERY_NOT_FOUND: { kind: 'not-found', retry: false },
  ANSWER_NOT_FOUND: { kind: 'not-found', retry: false },
  KEY_INVALID: { kind: 'denied', retry: false },
  CONTEXT_TOO_LONG: { kind: 'invalid', retry: false },
  DISK_FULL: { kind: 'unavailable', retry: true },
  STORAGE_BUSY: { kind: 'unavailable', retry: true },
  STORAGE_CORRUPT: { kind: 'internal', retry: false },
  KEY_NOT_FOUND: { kind: 'not-found', retry: false },
  STORED_FILE_NOT_FOUND: { kind: 'not-found', retry: false },
  UPLOAD_NOT_FOUND: { kind: 'not-found', retry: false },
  JOB_NOT_FOUND: { kind: 'not-found', retry: false },
  TRAINER_DIED: { kind: 'unavailable', retry: true },
  OVERLOADED: { kind: 'overloaded', retry: true },
  ENGINE_UNAVAILABLE: { kind: 'unavailable', retry: true },
  DEADLINE_EXCEEDED: { kind: 'timeout', retry: true },
  QUOTA_EXCEEDED: { kind: 'conflict', retry: false },
  CANCELLED: { kind: 'cancelled', retry: false },
  NATIVE_MISSING: { kind: 'internal', retry: false },
  INTERNAL: { kind: 'internal', retry: false },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** One problem at one place. A data file's problems are reported together as a list of these. */
export interface Problem {
  /** Where: `train.jsonl:17`, `adapter_config.json`, a tensor's name... */
  readonly where: string;
  readonly message: string;
}

export interface ErrorDetails {
  /** The field, file, or parameter that is wrong. */
  readonly param?: string;
  readonly problems?: readonly Problem[];
  /** Milliseconds after which the same request may succeed, where that can be estimated. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

export class EspalierError extends Error {
  override readonly name = 'EspalierError';
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly problems: readonly Problem[];
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.param = details.param;
    this.problems = details.problems ?? [];
    this.retryAfterMs = details.retryAfterMs;
  }

  get kind(): ErrorKind {
    return ERRORS[this.code].kind;
  }

  get canRetry(): boolean {
    return ERRORS[this.code].retry;
  }
}

/** Throws an {@link EspalierError}. The message says what, where, what was expected and what to do. */
export function fail(code: ErrorCode, message: string, details?: ErrorDetails): never {
  throw new EspalierError(code, message, details);
}

/** For our own invariants only, never for what a user can cause. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) broken(message);
}

/** What {@link assert} throws: for a check that runs so often that its sentence must not be made unless it is needed. */
export function broken(message: string): never {
  throw new EspalierError('INTERNAL', `invariant broken: ${message}`);
}

/** Anything that was thrown as one of ours: what is not is our own bug. */
export function asEspalierError(error: unknown): EspalierError {
  return error instanceof EspalierError ? error : new EspalierError('INTERNAL', errorMessage(error), { cause: error });
}

/** What the operating system's refusals mean. */
const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'a file of that name is there already',
  EISDIR: 'it is a folder',
  EMFILE: 'too many files are open',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EPERM: 'the system does not permit it',
  EROFS: 'the file system is read-only',
};

/** Whether the operating system has refused something that has to do with a path. */
export function isPathError(error: unknown): error is NodeJS.ErrnoException & { readonly path: string } {
  return error instanceof Error && 'path' in error && 'syscall' in error && 'code' in error;
}

/** The text of anything that was thrown. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!isPathError(error)) return error.message;
  const { code = '', syscall = '', path } = error;
  return code in SYSTEM_WORDS ? `${SYSTEM_WORDS[code]} (${code}: ${syscall} ${path})` : error.message;
}
