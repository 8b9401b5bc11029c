import { HttpError } from './error-response.ts';
import type { KeyedContext } from './route.ts';

/** @throws HttpError 403 for any but an admin’s key */
export function requireAdmin({ principal }: Pick<KeyedContext, 'principal'>): void {
  if (principal.role === 'admin') return;
  throw new HttpError(
    403,
    'role_insufficient',
    'this is for an admin’s key: keys, the audit log, and passing by a gate',
  );
}

/** @throws HttpError 403 for a reader’s key */
export function requireWriter({ principal }: Pick<KeyedContext, 'principal'>): void {
  if (principal.role !== 'reader') return;
  throw new HttpError(403, 'role_insufficient', 'a reader’s key asks models: changes need a writer’s');
}
