import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkJsonSchema } from './json-schema.ts';
import { GRAMMAR_LIMITS } from './limits.ts';

const check = (schema: unknown): unknown => checkJsonSchema(schema, 'response_format');

test('what is enforced stays in its order, annotations go', () => {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'T',
    type: 'object',
    properties: {
      title: { type: 'string', description: 'a property named like a keyword', minLength: 1 },
      $ref: { enum: [1, { description: 'data' }] },
    },
    required: ['title'],
    additionalProperties: false,
  };
  assert.equal(
    JSON.stringify(check(schema)),
    JSON.stringify({
      type: 'object',
      properties: { title: { type: 'string', minLength: 1 }, $ref: { enum: [1, { description: 'data' }] } },
      required: ['title'],
      additionalProperties: false,
    }),
  );
});

test('what is referred to comes under the root by a plain name, however it was reached', () => {
  const schema = {
    properties: { a: { $ref: '#/$defs/x~1y' }, b: { $ref: '#/properties/a' }, c: { $ref: '#' } },
    $defs: { 'x/y': { type: 'integer' }, unused: { not: {} } },
  };
  assert.deepEqual(check(schema), {
    properties: { a: { $ref: '#/$defs/d0' }, b: { $ref: '#/$defs/d1' }, c: { $ref: '#/$defs/d2' } },
    $defs: {
      d0: { type: 'integer' },
      d1: { $ref: '#/$defs/d0' },
      d2: { properties: { a: { $ref: '#/$defs/d0' }, b: { $ref: '#/$defs/d1' }, c: { $ref: '#/$defs/d2' } } },
    },
  });
});

test('what cannot be enforced is refused by name and place', () => {
  const deep: unknown = Array.from({ length: 70 }).reduce((inner) => ({ items: inner }), {});
  const cases: readonly (readonly [schema: unknown, message: RegExp])[] = [
    [
      { properties: { 'a/b': { uniqueItems: true } } },
      /#\/properties\/a~1b\/uniqueItems: the keyword "uniqueItems" is not/,
    ],
    [{ not: {} }, /#\/not: the keyword "not"/],
    [{ anyOf: [{}, { if: {} }] }, /#\/anyOf\/1\/if/],
    [{ $defs: { a: { propertyNames: {} } }, items: { $ref: '#/$defs/a' } }, /#\/\$defs\/a\/propertyNames/],
    [{ type: 'string', nullable: true }, /nullable/],
    [{ 'x-guidance': { lenient: true } }, /x-guidance/],
    [JSON.parse('{"__proto__": 1}'), /__proto__/],
    [{ items: [{}] }, /#\/items: must be a schema/],
    [{ additionalItems: {} }, /additionalItems/],
    [{ type: 'text' }, /#\/type: must be of null, boolean/],
    [{ type: [] }, /#\/type/],
    [{ format: 'regex' }, /#\/format: is not one that is supported: date-time/],
    [{ minLength: -1 }, /#\/minLength: must be a whole number/],
    [{ maxItems: GRAMMAR_LIMITS.repetitions + 1 }, /#\/maxItems/],
    [{ exclusiveMinimum: true }, /#\/exclusiveMinimum: must be a number/],
    [{ multipleOf: 0 }, /#\/multipleOf/],
    [{ enum: [] }, /#\/enum/],
    [{ required: 'a' }, /#\/required/],
    [{ anyOf: [] }, /#\/anyOf/],
    [{ minProperties: 2 }, /#\/minProperties: asks for 2 properties where "required" names 0/],
    [{ pattern: 'a'.repeat(GRAMMAR_LIMITS.patternLength + 1) }, /#\/pattern/],
    [{ $ref: 'https://example.org/s' }, /#\/\$ref: must be a place in this schema/],
    [{ $ref: '#anchor' }, /#\/\$ref/],
    [{ $ref: '#/$defs/none' }, /"#\/\$defs\/none", which is not there/],
    [{ $ref: '#/constructor' }, /which is not there/],
    [{ $ref: '#' }, /refers to itself/],
    [
      { $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' },
      /refers to itself/,
    ],
    [deep, /deeper than the 64 levels/],
    [{ anyOf: Array.from({ length: GRAMMAR_LIMITS.schemaNodes + 1 }, () => ({})) }, /more than the 10000 parts/],
    [{ const: 'x'.repeat(GRAMMAR_LIMITS.schemaLength) }, /more than the 262144 allowed/],
    ['text', /#: must be a schema/],
    [null, /#: must be a schema/],
    [false, /no value matches/],
  ];
  for (const [schema, message] of cases) {
    assert.throws(() => check(schema), { code: 'REQUEST_INVALID', param: 'response_format', message }, String(message));
  }
});

test('a schema that refers to itself below a property is sound', () => {
  const tree = { type: 'object', properties: { children: { type: 'array', items: { $ref: '#' } } } };
  assert.deepEqual(check(tree), {
    type: 'object',
    properties: { children: { type: 'array', items: { $ref: '#/$defs/d0' } } },
    $defs: { d0: { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/$defs/d0' } } } } },
  });
});
