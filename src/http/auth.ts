import { fail, isName } from '../base/index.ts';
import type { Principal } from '../tenancy/index.ts';
import { HttpError } from './error-response.ts';
import type { Services } from './services.ts';

/**
 * Whose key a request carries, in `Authorization: Bearer KEY`. /healthz, /readyz and /openapi.json are open, /metrics has its own
 * rule, everything else needs a key, also on a server for which no key was made yet.
 * `OpenAI-Project` says to which project of the tenant the request's usage is counted, unless the key belongs to one.
 * @throws KEY_INVALID; HttpError 400 and 401 for a project that is no name, or is not the key's
 */
export function authenticate(services: Services, request: Request): Principal {
  const header = request.headers.get('authorization');
  if (header === null) fail('KEY_INVALID', 'an API key is needed: send "Authorization: Bearer esp_…"');
  const key = /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (key === undefined) fail('KEY_INVALID', 'the Authorization header must be "Bearer " and an API key');
  return ofProject(services.authenticate(key), request.headers.get('openai-project'));
}

function ofProject(principal: Principal, asked: string | null): Principal {
  if (asked === null || asked === '' || asked === principal.project) return principal;
  if (typeof principal.project === 'string') {
    throw new HttpError(401, 'mismatched_project', 'the API key belongs to another project than OpenAI-Project names');
  }
  if (!isName(asked)) fail('REQUEST_INVALID', 'OpenAI-Project must hold only a-z, 0-9, ".", "_", "-"');
  return principal.tenant === null ? principal : { ...principal, project: asked };
}
