import { jsonContent, errorDocs, type Route } from '../route.ts';
import { session } from '../wire/session.ts';

/** For a program that offers its user what the key may do, and nothing else. */
export const sessionRoute: Route = {
  method: 'get',
  path: '/api/session',
  access: 'key',
  doc: {
    summary: 'Whose key this is, what it may do, and the bases of this server',
    operationId: 'getSession',
    responses: { 200: jsonContent('The session', session), ...errorDocs({ 401: 'The API key is missing or wrong' }) },
  },
  handle({ services, principal: { tenant, role, keyId } }) {
    const bases = services.bases().map(({ name, isReady }) => ({ name, is_ready: isReady }));
    return Response.json({ object: 'session', tenant, role, key_id: keyId, bases });
  },
};
