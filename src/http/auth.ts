import { fail } from '../base/index.ts';
import type { Principal } from '../tenancy/index.ts';
import type { Services } from './services.ts';

/**
 * Whose key a request carries, in `Authorization: Bearer KEY`. /healthz, /readyz and /openapi.json are open, /metrics has its own
 * rule, everything else needs a key, also on a server for which no key was made yet.
 * @throws KEY_INVALID
 */
export function authenticate(services: Services, request: Request): Principal {
  const header = request.headers.get('authorization');
  if (header === null) fail('KEY_INVALID', 'an API key is needed: send "Authorization: Bearer esp_…"');
  const key = /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (key === undefined) fail('KEY_INVALID', 'the Authorization header must be "Bearer " and an API key');
  return services.authenticate(key);
}
