import { z } from '@hono/zod-openapi';
import { fail } from '../../base/index.ts';
import { errorDocs, type Route } from '../route.ts';
import { GROUP_NAMES, groupsOf, periodOf, usageLineOf, usageList, usageQuery } from '../wire/bill.ts';
import { parseQuery } from '../wire/page.ts';

export const usageRoute: Route = {
  method: 'get',
  path: '/api/usage',
  access: 'key',
  doc: {
    summary: 'Usage and what it costs, as bill lines: for a tenant its own, for the operator all',
    operationId: 'listUsage',
    request: { query: usageQuery },
    responses: {
      200: {
        description: 'The lines; the last thirty days unless told',
        content: { 'application/json': { schema: usageList }, 'text/csv': { schema: z.string() } },
      },
      ...errorDocs({ 400: 'The query is malformed', 401: 'The API key is missing or wrong' }),
    },
  },
  handle({ services, principal, request, clock }) {
    const { format, tenant, group, ...asked } = parseQuery(usageQuery, request);
    const groups = groupsOf(group);
    if (!groups) {
      return fail('REQUEST_INVALID', `group must be of ${GROUP_NAMES}, got ${JSON.stringify(group)}`, {
        param: 'group',
      });
    }
    const period = periodOf(asked, clock.epochMs());
    if (period.from > period.to) {
      fail('REQUEST_INVALID', `from ${period.from} is after to ${period.to}`, { param: 'from' });
    }
    const lines = services.usage.bill(principal, { ...period, groups, tenant });
    if (format === 'json') return Response.json({ object: 'list', ...period, data: lines.map(usageLineOf) });
    const headers = {
      'Content-Type': 'text/csv; charset=utf-8',
      'Content-Disposition': `attachment; filename="usage-${period.from}-${period.to}.csv"`,
    };
    return new Response(services.usage.csv(lines), { headers });
  },
};
