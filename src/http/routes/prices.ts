import { fail } from '../../base/index.ts';
import { parseBody, readJson } from '../body.ts';
import { HttpError } from '../error-response.ts';
import { errorDocs, jsonContent, type Route } from '../route.ts';
import { changeOf, priceChange, priceList, priceObject, priceOf } from '../wire/prices.ts';

export const listPricesRoute: Route = {
  method: 'get',
  path: '/api/prices',
  access: 'key',
  doc: {
    summary: 'What a million tokens cost, by day: for a tenant what it pays, for the operator all that was ever set',
    operationId: 'listPrices',
    responses: {
      200: jsonContent('The prices, each tenant’s oldest first', priceList),
      ...errorDocs({ 401: 'The API key is missing or wrong' }),
    },
  },
  handle({ services, principal }) {
    return Response.json({ object: 'list', data: services.usage.prices(principal).map(priceOf) });
  },
};

/** What was used before today keeps its price. */
export const setPricesRoute: Route = {
  method: 'patch',
  path: '/api/prices',
  access: 'key',
  doc: {
    summary: 'Change prices, from today on',
    operationId: 'setPrices',
    request: { body: { required: true, content: { 'application/json': { schema: priceChange } } } },
    responses: {
      200: jsonContent('The prices as they are from today on', priceObject),
      ...errorDocs({
        400: 'A price or the currency is none, or nothing is changed',
        401: 'The API key is missing or wrong',
        403: 'The key is a tenant’s',
        404: 'There is no such tenant',
        413: 'The body is too large',
      }),
    },
  },
  async handle({ services, principal, request, maxBodyBytes }) {
    if (principal.tenant !== null) throw new HttpError(403, 'operator_only', 'prices are set with the operator’s key');
    const body = parseBody(priceChange, await readJson(request, maxBodyBytes));
    const change = changeOf(body);
    if (!change) {
      return fail('REQUEST_INVALID', 'the body changes nothing: send currency, prompt, cached, completion or training');
    }
    return Response.json(priceOf(services.usage.setPrices(principal, body.tenant ?? null, change)));
  },
};
