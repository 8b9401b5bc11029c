/**
 * Fields of OpenAI's that are accepted without effect, or not at all. A field has one of three fates: it is obeyed; it cannot change the
 * answer and is accepted; or it would, we do not have it, and all but its neutral value is refused by name. A field that no schema has is
 * refused too.
 */
import { z } from '@hono/zod-openapi';

/** The description of `user`. */
export const SESSION = 'Where a task is split between versions, a user stays with one; it changes nothing else.';
/** The description of a field that is accepted and without effect. */
export const IGNORED = 'Accepted; it cannot change the answer.';
const NOT_YET = 'is not supported here yet: leave it out';

/** A field that would change the answer: only the words that ask for what happens anyway. */
export function onlyWords<Schema extends z.ZodType>(schema: Schema, words: readonly [string, ...string[]]) {
  const told = words.map((word) => JSON.stringify(word)).join(' or ');
  return schema
    .refine((value) => words.some((word) => word === value), `${NOT_YET}, or send ${told}`)
    .nullish()
    .openapi({ type: ['string', 'null'], enum: [...words, null], description: `Only ${told}, or null.` });
}

/** A list that would change the answer: only the one without effect, whose items are all of these words. */
export function onlyList(...words: readonly string[]) {
  const told = JSON.stringify(words);
  const { length } = words;
  return z
    .array(z.unknown())
    .refine((list) => JSON.stringify(list) === told, `${NOT_YET}, or send ${told}`)
    .nullish()
    .openapi({ items: { enum: [...words] }, minItems: length, maxItems: length, description: `Only ${told} or null.` });
}

/** A field without a neutral value. */
export const never = z
  .unknown()
  .refine((value) => value === null, NOT_YET)
  .nullish()
  .openapi({ type: 'null', description: 'Only null.' });

/** A string that UTF-8 can hold. */
export const wellFormed = z
  .string()
  .refine((value) => value.isWellFormed(), 'holds half of a surrogate pair: send well-formed Unicode');
