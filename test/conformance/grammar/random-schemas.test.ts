/** A model that knows nothing, under random schemas: what it writes to its end is always JSON that the schema allows. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { Rng } from '../../../src/base/index.ts';
import { ANY_OBJECT } from '../../../src/grammar/index.ts';
import type { NativeGrammar } from '../../../src/numeric/index.ts';
import { ConstrainedBase, type ConstrainedAnswer, type ConstrainedRequest } from '../../support/constrained.ts';
import { jsonObjectState } from '../../support/json-prefix.ts';
import { randomSchema } from '../../support/random-schemas.ts';

const NUM_SCHEMAS = 60;
const SEEDS_EACH = 4;
const MAX_TOKENS = 300;

const base = new ConstrainedBase();
after(() => base[Symbol.dispose]());

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // Not JSON is an answer here.
    return false;
  }
}

const rng = Rng.fromSeed(17, 'schemas');
const schemas = Array.from({ length: NUM_SCHEMAS }, () => randomSchema(rng));
const grammars = await Promise.all(schemas.map((schema) => base.compile({ kind: 'json', schema })));

function requestsFor(grammar: NativeGrammar | undefined, index: number): ConstrainedRequest[] {
  return Array.from({ length: SEEDS_EACH }, (_, seed) => ({
    prompt: `<|im_start|>user\n${index}<|im_end|>\n<|im_start|>assistant\n`,
    grammar,
    sampling: {
      temperature: 1 + seed / (SEEDS_EACH - 1),
      topP: seed % 2 === 0 ? 1 : 0.9,
      seed: index * SEEDS_EACH + seed,
    },
    maxTokens: MAX_TOKENS,
  }));
}

const requests = grammars.flatMap(requestsFor);
let answers: ConstrainedAnswer[];

test('every answer that ends is JSON that its schema allows; one that is cut is the beginning of an object', () => {
  answers = base.answer(requests);
  let numEnded = 0;
  for (const [index, { text, finishReason }] of answers.entries()) {
    const schema = schemas[Math.floor(index / SEEDS_EACH)];
    const where = `${JSON.stringify(schema)}: ${JSON.stringify(text)}`;
    if (finishReason === 'length') {
      // The last token may end inside a character: what follows it is left out.
      const whole = text.replace(/\ufffd$/, '');
      assert.equal(jsonObjectState(new TextEncoder().encode(whole)), 'begun', where);
      continue;
    }
    assert.equal(finishReason, 'stop');
    numEnded++;
    const checked = z.fromJSONSchema(schema).safeParse(JSON.parse(text));
    assert.ok(checked.success, `${where}: ${checked.error?.message}`);
  }
  assert.ok(numEnded > answers.length / 2, `${numEnded} of ${answers.length} answers ended by themselves`);
});

test('without a grammar the same model never writes JSON', () => {
  const free = base.answer(Array.from({ length: 10 }, (_, index) => requestsFor(undefined, index)).flat());
  for (const { text } of free) assert.ok(!isJson(text), text);
});

test('a constrained answer is the same alone as beside others, with grammars and without', () => {
  const chosen = Array.from({ length: 24 }, (_, i) => (i * 7) % requests.length);
  const mixed = chosen.flatMap((index, i) => [
    requests[index],
    ...requestsFor(i % 2 === 0 ? undefined : grammars[0], 1000 + i).slice(0, 1),
  ]);
  const beside = base.answer(mixed, 13);
  for (const [i, index] of chosen.entries()) {
    const [alone] = base.answer([requests[index]], 1);
    assert.deepEqual(beside[2 * i], alone);
    assert.deepEqual(answers[index].tokenIds, alone.tokenIds);
  }
});

test('a constrained answer that is preempted and computed again is the same', () => {
  const before = base.numPreemptions;
  const numTogether = 12;
  const again = base.answer(requests.slice(0, numTogether), numTogether, 512);
  assert.ok(base.numPreemptions > before, 'some lost their blocks');
  assert.deepEqual(again, answers.slice(0, numTogether));
});

test('any object ends, greedily too', async () => {
  const grammar = await base.compile(ANY_OBJECT);
  const sampling = { temperature: 0, topP: 1, seed: 0 };
  for (const { text, finishReason } of base.answer([{ prompt: 'x', grammar, sampling, maxTokens: 200 }])) {
    assert.equal(
      jsonObjectState(new TextEncoder().encode(text.replace(/\ufffd$/, ''))),
      finishReason === 'stop' ? 'whole' : 'begun',
    );
  }
});
