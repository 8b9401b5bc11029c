import { asEspalierError, EspalierError, type ErrorCode, type Problem } from './errors.ts';

/** An error as it crosses to another thread or process. */
export interface RemoteError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | undefined;
  readonly problems: readonly Problem[];
  readonly retryAfterMs: number | undefined;
}

/** What was thrown, ready to be sent. */
export function remoteError(error: unknown): RemoteError {
  const { code, message, param, problems, retryAfterMs } = asEspalierError(error);
  return { code, message, param, problems, retryAfterMs };
}

/** The error on the other side. */
export function rebuildError({ code, message, param, problems, retryAfterMs }: RemoteError): EspalierError {
  return new EspalierError(code, message, {
    problems,
    ...(param !== undefined && { param }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
