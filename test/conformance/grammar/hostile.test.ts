/** Grammars of strangers that would take for ever, or all memory, are refused with a reason. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Grammar } from '../../../src/grammar/index.ts';
import { ConstrainedBase } from '../../support/constrained.ts';

const base = new ConstrainedBase();
after(() => base[Symbol.dispose]());

const json = (schema: unknown): Grammar => ({ kind: 'json', schema });
const many = <T>(count: number, item: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => item(i));

const REFUSED: Readonly<Record<string, Grammar>> = {
  'look-around': { kind: 'regex', pattern: '(?<=a)b' },
  'a back reference': { kind: 'regex', pattern: '(a)\\1' },
  'an expression that is not closed': { kind: 'regex', pattern: '(a' },
  'an expression that ends in a backslash': { kind: 'regex', pattern: 'a\\' },
  'a pattern in a schema that is not closed': json({ type: 'string', pattern: '[' }),
  'intersections that multiply': json({
    allOf: many(16, (i) => ({
      anyOf: many(8, (j) => ({ properties: { [`p${i}`]: { const: j } }, required: [`p${i}`] })),
    })),
  }),
  'two recursive schemas for one value': json({
    $defs: {
      a: { type: 'object', properties: { x: { $ref: '#/$defs/a' }, y: { $ref: '#/$defs/b' } } },
      b: { type: 'object', properties: { x: { $ref: '#/$defs/b' }, y: { $ref: '#/$defs/a' } } },
    },
    allOf: [
      { $ref: '#/$defs/a' },
      { $ref: '#/$defs/b' },
      { properties: { x: { allOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/b' }] } } },
    ],
  }),
  'alternatives that may overlap': json({ oneOf: [{ type: 'string' }, { type: 'string', maxLength: 3 }] }),
  'no value at all': json({ type: 'string', minLength: 3, maxLength: 2 }),
};

for (const [name, grammar] of Object.entries(REFUSED)) {
  test(`${name} is refused`, async () => {
    await assert.rejects(
      async () => {
        await base.compile(grammar);
      },
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'REQUEST_INVALID', error.stack);
        assert.doesNotMatch(error.message, /panic|backtrace|\n|<state>/);
        return true;
      },
    );
  });
}

/** What is large but sound, and is answered or refused: either way soon, and the engine goes on. */
const HEAVY: Readonly<Record<string, Grammar>> = {
  'a regular expression that explodes as an automaton': {
    kind: 'regex',
    pattern: '(a|b)*a(a|b){9000}(c|d)*c(c|d){9000}',
  },
  'nested repetitions': { kind: 'regex', pattern: '((((((a{1,99}){1,99}){1,99}){1,99}){1,99}){1,99})' },
  'many properties': json({
    type: 'object',
    properties: Object.fromEntries(many(2000, (i) => [`p${i}`, { type: 'string' }])),
  }),
  'a long list': json({ type: 'array', items: { type: 'integer' }, minItems: 9000, maxItems: 10_000 }),
  'a long text': json({ type: 'string', minLength: 9000, maxLength: 10_000 }),
  'many words': json({ enum: many(8000, (i) => `word ${i * 7919}`) }),
  'long lists in long lists': json(
    many(4, () => 0).reduce((items: object) => ({ type: 'array', items, minItems: 999 }), {}),
  ),
  'many patterns': json({ anyOf: many(300, (i) => ({ type: 'string', pattern: `(a|b)*${i}(c|d){${i}}` })) }),
};

for (const [name, grammar] of Object.entries(HEAVY)) {
  test(`${name}: begun or refused with a reason`, async () => {
    try {
      const compiled = await base.compile(grammar);
      const sampling = { temperature: 1, topP: 1, seed: 1 };
      base.answer([{ prompt: 'x', grammar: compiled, sampling, maxTokens: 30 }]);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'REQUEST_INVALID', String(error));
    }
  });
}
