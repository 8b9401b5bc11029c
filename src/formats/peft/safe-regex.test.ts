import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError, Rng } from '../../base/index.ts';
import { safeFullMatch } from './safe-regex.ts';

const matches = (pattern: string, text: string): boolean => safeFullMatch(pattern)(text);

test('matches as re.fullmatch does', () => {
  const path = 'model.layers.10.self_attn.q_proj';
  for (const pattern of [
    '.*q_proj',
    '.*\\.(q|v)_proj',
    'model\\.layers\\.\\d+\\.self_attn\\.q_proj',
    'model\\.layers\\.[0-9]{2}\\..*',
    'model\\.layers\\.(?:[0-9]|1[0-5])\\.self_attn\\.(?P<which>q|k)_proj',
    '^(?!.*mlp).*proj$',
    '(?=model).*',
    '.*\\bq_proj',
    '.*?(?:self_attn|attn).*?(?:q_proj|k_proj).*?',
    '[^0-9]+[\\d][^-\\s]+',
    '\\A.*\\Z',
    '[\\w.]{10,40}',
    '((model)|(layers)|\\.|\\d|_|[a-z])*',
  ]) {
    assert.ok(matches(pattern, path), pattern);
  }
  for (const pattern of [
    'q_proj',
    'model',
    '.*k_proj',
    '(?!model).*',
    '.*\\Bq_proj',
    '[\\w.]{1,10}',
    'model.layers.[2-9]+.*',
    '',
  ]) {
    assert.ok(!matches(pattern, path), pattern);
  }
  assert.ok(matches('', ''));
  assert.ok(matches('a{,2}', 'aa') && !matches('a{,2}', 'aaa'));
  assert.ok(matches('a{x}', 'a{x}'), 'a brace that is no count is a brace');
  assert.ok(matches('[]a-]+', ']-a'));
  assert.ok(matches('()*', ''), 'an empty group may repeat');
});

test('agrees with the backtracking engine on random small patterns', () => {
  const rng = Rng.fromSeed(7);
  const pick = (items: readonly string[]): string => items[rng.nextBelow(items.length)];
  const make = (depth: number): string => {
    if (depth === 0) return pick(['a', 'b', '.', '[ab]', '[^a]', '\\w']);
    const [left, right] = [make(depth - 1), make(depth - 1)];
    return pick([
      `${left}${right}`,
      `(?:${left}|${right})`,
      `(?:${left})*`,
      `(?:${left})?${right}`,
      `(${left}){1,2}`,
      `(?:${left})+${right}`,
      `(?=${pick(['a', 'b.'])})${left}`,
      `(?!${pick(['a', 'b.'])})${left}`,
    ]);
  };
  let numMatches = 0;
  for (let i = 0; i < 2000; i++) {
    const pattern = make(3);
    const text = Array.from({ length: rng.nextBelow(7) }, () => pick(['a', 'b', 'c'])).join('');
    const expected = new RegExp(`^(?:${pattern})$`).test(text);
    assert.equal(matches(pattern, text), expected, `${pattern} on ${JSON.stringify(text)}`);
    if (expected) numMatches++;
  }
  assert.ok(numMatches > 100 && numMatches < 1900, `${numMatches} of 2000 matched`);
});

test('patterns that explode elsewhere are answered in little time', () => {
  const text = 'a'.repeat(400);
  for (const pattern of [
    '(.*a){25}b$',
    '(a+)+b',
    '(a|a)*b',
    '(a|aa)+b',
    '(.*)*(.*)*b',
    '(?=(a+)+b).*',
    '(a?){400}a{400}b',
  ]) {
    assert.equal(matches(pattern, text), false, pattern);
  }
});

test('refuses what a linear match cannot have, and what is no regular expression, naming the field', () => {
  for (const [pattern, text] of [
    ['(a)\\1', 'back-reference'],
    ['(?<=a)b', 'not supported'],
    ['(?i)a', 'not supported'],
    ['(?>a)', 'not supported'],
    ['a*+', 'possessive'],
    ['a**', 'repeated quantifier'],
    ['*a', 'nothing to repeat'],
    ['(a', 'unclosed'],
    ['a)', 'unopened'],
    ['[a', 'unclosed'],
    ['[b-a]', 'bad range'],
    ['a{3,2}', 'wrong way'],
    ['\\q', 'escape'],
    ['(?=(?=a))', 'look-ahead in a look-ahead'],
    ['(){999999999}', 'parts'],
    ['((a{99}){99}){99}', 'parts'],
    ['('.repeat(5000), 'characters'],
    ['('.repeat(500), 'nested deeper'],
  ] as const) {
    assert.throws(
      () => safeFullMatch(pattern, 'target_modules'),
      (error: unknown) =>
        error instanceof EspalierError &&
        error.code === 'CONFIG_INVALID' &&
        error.message.includes('target_modules') &&
        error.message.includes(text),
      pattern.slice(0, 40),
    );
  }
});
