import type { Rng } from '../../src/base/index.ts';

type Schema = Record<string, unknown>;

const WORDS = ['a', 'name', 'Größe', 'x y', 'q"q', 'true', 'id', 'items', '日'];

/**
 * A random JSON Schema of an object: nested objects and arrays, optional properties, alternatives, references, bounds, patterns, enums
 * and formats. Sizes are bounded, so that an answer ends; so are numbers, so that doubles hold them.
 */
export function randomSchema(rng: Rng): Schema {
  const pick = <T>(items: readonly T[]): T => items[rng.nextBelow(items.length)];
  const words = (count: number): string[] => {
    const left = [...WORDS];
    return Array.from({ length: count }, () => left.splice(rng.nextBelow(left.length), 1)[0]);
  };
  const leaves: readonly (() => Schema)[] = [
    () => ({ type: 'integer', minimum: -rng.nextBelow(50), maximum: rng.nextBelow(1000) }),
    () => ({ type: 'number', exclusiveMinimum: -1 - rng.nextBelow(9), maximum: 10.5 }),
    () => ({ type: 'integer', multipleOf: 7, minimum: 0, maximum: 700 }),
    () => ({ type: 'string', maxLength: 1 + rng.nextBelow(12) }),
    () => ({ type: 'string', minLength: 2, maxLength: 5, pattern: '^[a-f]+$' }),
    () => ({ type: 'string', pattern: pick(['^\\d{2}-[xyz]$', '^(ab|c)*$', '^[a-z ]{0,4}!$']), maxLength: 8 }),
    () => ({ type: 'string', format: pick(['date', 'ipv4']) }),
    () => ({ enum: [pick(WORDS), rng.nextBelow(9), null, true] }),
    () => ({ const: pick(WORDS) }),
    () => ({ type: 'boolean' }),
    () => ({ type: ['null', 'boolean'] }),
    () => ({ $ref: '#/$defs/shared' }),
  ];
  const value = (depth: number): Schema => {
    const kind = depth === 0 ? 0 : rng.nextBelow(6);
    if (kind === 1) return object(depth - 1);
    if (kind === 2) {
      const minItems = rng.nextBelow(2);
      return { type: 'array', items: value(depth - 1), minItems, maxItems: minItems + rng.nextBelow(3) };
    }
    if (kind === 3) return { anyOf: [value(depth - 1), value(depth - 1)] };
    if (kind === 4) {
      return { type: 'array', prefixItems: [value(0), value(0)], items: false, minItems: 2 };
    }
    return pick(leaves)();
  };
  const object = (depth: number): Schema => {
    const names = words(1 + rng.nextBelow(3));
    return {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, value(depth)])),
      required: names.filter(() => rng.nextFloat() < 0.6),
      additionalProperties: false,
    };
  };
  return { ...object(2), $defs: { shared: { type: 'string', enum: words(2) } } };
}
