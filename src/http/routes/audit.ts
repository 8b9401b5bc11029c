import { z } from '@hono/zod-openapi';
import { requireAdmin } from '../role.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import { auditEntryOf, auditList } from '../wire/audit.ts';
import { parseQuery } from '../wire/page.ts';

const query = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .openapi({ description: 'The "seq" of the last of the page before.' }),
  tenant: z.string().optional().openapi({ description: 'For the operator: only entries about this tenant.' }),
});

export const listAuditRoute: Route = {
  method: 'get',
  path: '/api/audit',
  access: 'key',
  doc: {
    summary: 'List who changed what, the latest first: for a tenant’s admin what concerns it, for the operator all',
    operationId: 'listAuditLog',
    request: { query },
    responses: {
      200: jsonContent('One page', auditList),
      ...errorDocs({
        400: 'The query is malformed',
        401: 'The API key is missing or wrong',
        403: 'The key is no admin’s',
      }),
    },
  },
  handle(context) {
    requireAdmin(context);
    const { services, principal, request } = context;
    const { items, hasMore } = services.audit.list(principal, parseQuery(query, request));
    return Response.json({ object: 'list', data: items.map(auditEntryOf), has_more: hasMore });
  },
};
