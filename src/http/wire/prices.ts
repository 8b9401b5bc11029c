/** Prices on the wire: what a million tokens cost. */
import { z } from '@hono/zod-openapi';
import type { PriceRow, TokenPrices } from '../../tenancy/index.ts';

const MAX_PRICE = 1_000_000;
const NAMES = [
  'currency',
  'prompt',
  'cached',
  'completion',
  'training',
] as const satisfies readonly (keyof TokenPrices)[];

const price = (description: string) => z.number().min(0).max(MAX_PRICE).nullable().openapi({ description });

const priceFields = {
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be three capital letters, as EUR')
    .nullable()
    .openapi({ description: 'ISO 4217, EUR. null, as below: as everybody’s; of everybody’s: none.' }),
  prompt: price('Of the prompt’s tokens, but for those that were in the cache.'),
  cached: price('Of the prompt’s tokens that were in the cache; null where everybody’s is null too: as prompt.'),
  completion: price('Of the answer’s tokens.'),
  training: price('Of the tokens that jobs train on, once for each epoch.'),
};

const row = z
  .object({
    object: z.literal('price'),
    tenant: z.string().nullable().openapi({ description: 'null: everybody’s.' }),
    from_day: z.iso.date().openapi({ description: 'The first day, UTC, on which it holds.' }),
    ...priceFields,
  })
  .openapi('Price');

export const priceObject = row;
export const priceList = z.object({ object: z.literal('list'), data: z.array(row) }).openapi('PriceList');

/** The body of `PATCH /api/prices`: what is absent stays as it is. */
export const priceChange = z
  .strictObject({
    tenant: z.string().max(63).nullish().openapi({ description: 'Whose; everybody’s unless told.' }),
    ...z.strictObject(priceFields).partial().shape,
  })
  .openapi('PriceChange');

export function priceOf({ fromDay, tenant, ...prices }: PriceRow): z.output<typeof row> {
  const { currency, prompt, cached, completion, training } = prices;
  return { object: 'price', tenant, from_day: fromDay, currency, prompt, cached, completion, training };
}

/** What a body changes; undefined: nothing. */
export function changeOf(body: z.output<typeof priceChange>): Partial<TokenPrices> | undefined {
  const given = NAMES.flatMap((name) => (body[name] === undefined ? [] : [[name, body[name]]]));
  return given.length === 0 ? undefined : (Object.fromEntries(given) as Partial<TokenPrices>);
}
