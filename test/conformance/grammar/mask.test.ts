import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Rng } from '../../../src/base/index.ts';
import { ANY_OBJECT, engineForm, maskLogits, type Grammar } from '../../../src/grammar/index.ts';
import { loadTokenizerJson } from '../../../src/text/index.ts';
import { compilerFor, idsIn, wayThrough } from '../../support/grammar-acceptance.ts';
import { jsonObjectState } from '../../support/json-prefix.ts';
import { letterTokenizer } from '../../support/letter-tokenizer.ts';

const tinyJson = new URL('../../golden/text/tiny-tokenizer.json', import.meta.url);
const tiny = loadTokenizerJson(readFileSync(tinyJson), 'tiny', {
  config: { bos_token: '<|endoftext|>', eos_token: '<|im_end|>' },
});
const letters = letterTokenizer();

async function accepts(grammar: Grammar): Promise<(text: string) => boolean> {
  const wayOf = await wayThrough(grammar);
  return (text) => wayOf(text) === 'whole';
}

for (const [name, tokenizer] of [
  ['a token for each letter', letters],
  ['merged tokens', tiny],
] as const) {
  test(`a token is allowed exactly if its bytes leave the beginning of an object: ${name}`, async () => {
    const compiler = compilerFor(tokenizer, tokenizer.vocabSize + 37);
    const compiled = await compiler.compile(engineForm(ANY_OBJECT, 'test'), 'test');
    const mask = new Int32Array(compiler.maskWords);
    const rng = Rng.fromSeed(3, name);
    let [numStates, numEnds, numAllowed] = [0, 0, 0];
    for (let walk = 0; walk < 24; walk++) {
      using progress = compiled.start();
      let text = Buffer.alloc(0);
      for (let step = 0; step < 40; step++) {
        assert.ok(progress.mask(mask));
        const allowed = idsIn(mask);
        const isWhole = jsonObjectState(text) === 'whole';
        for (let id = 0; id < tokenizer.vocabSize + 37; id++) {
          const bytes = tokenizer.isSpecial(id) ? [] : tokenizer.tokenBytes(id);
          const isRight = tokenizer.eosIds.includes(id)
            ? isWhole
            : bytes.length > 0 && jsonObjectState(Buffer.concat([text, Uint8Array.from(bytes)])) !== 'broken';
          assert.equal(allowed.has(id), isRight, `${JSON.stringify(text.toString())} and ${tokenizer.tokenOf(id)}`);
        }
        numStates++;
        numAllowed += allowed.size;
        if (isWhole) {
          numEnds++;
          break;
        }
        // What closes and separates comes often enough that objects end.
        const marks = [...allowed].filter((id) => /^["{}[\],:]+$/.test(tokenizer.tokenOf(id) ?? ''));
        const from = marks.length > 0 && rng.nextFloat() < 0.6 ? marks : [...allowed];
        const id = from[rng.nextBelow(from.length)];
        text = Buffer.concat([text, tokenizer.tokenBytes(id)]);
        assert.equal(progress.accept(id), jsonObjectState(text) === 'whole', 'nothing may follow the object');
      }
    }
    assert.ok(numStates > 100 && numEnds > 0 && numAllowed > numStates, `${numStates} states, ${numEnds} ends`);
  });
}

test('a schema, an expression and a choice take what they should', async () => {
  const object: Grammar = {
    kind: 'json',
    schema: {
      type: 'object',
      properties: { n: { type: 'integer', minimum: -3, maximum: 40 }, s: { type: 'string', pattern: '^[ab]+$' } },
      required: ['n'],
      additionalProperties: false,
    },
  };
  const takesObject = await accepts(object);
  for (const text of ['{"n":-3}', '{ "n" : 40,\n "s": "abba" }']) assert.ok(takesObject(text), text);
  for (const text of ['{"n":41}', '{"n":1.5}', '{"s":"a"}', '{"n":1,"x":1}', '{"n":1,"s":"c"}', ' {"n":1}', '[]']) {
    assert.ok(!takesObject(text), text);
  }
  const takesDate = await accepts({ kind: 'regex', pattern: '\\d{4}/\\d\\d' });
  assert.ok(takesDate('2031/02') && !takesDate('2031-02') && !takesDate('2031/023'));
  const takesWord = await accepts({ kind: 'choice', texts: ['yes', 'no', 'say "no"\\\n'] });
  assert.ok(takesWord('yes') && takesWord('say "no"\\\n') && !takesWord('yess') && !takesWord('ye'));
});

test('masked logits are those of allowed tokens; the others can be neither the best nor drawn', () => {
  const V = 70;
  const logits = Float32Array.from({ length: V }, (_, id) => id);
  const mask = new Int32Array(3);
  for (const id of [0, 31, 32, 69]) mask[id >> 5] |= 1 << (id & 31);
  mask[1] |= -1;
  maskLogits(logits, mask);
  const kept = [...logits.keys()].filter((id) => logits[id] !== -Infinity);
  assert.deepEqual(kept, [0, 31, ...Array.from({ length: 32 }, (_, i) => 32 + i), 69]);
  for (const id of kept) assert.equal(logits[id], id);
});
