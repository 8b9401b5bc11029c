import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { loadTokenizerJson } from './load-tokenizer.ts';
import { tokenizerFromGguf } from './gguf-tokenizer.ts';
import { letterTokenizer, letterTokenizerJson } from '../../test/support/letter-tokenizer.ts';

const tokenizer = letterTokenizer();

test('names of control tokens in text are tokens only where they are allowed', () => {
  const end = tokenizer.idOf('<|end|>') as number;
  assert.deepEqual([...tokenizer.encode('a<|end|>', { allowSpecial: true })], [tokenizer.idOf('a'), end]);
  const plain = tokenizer.encode('a<|end|>', { allowSpecial: false });
  assert.ok(!plain.includes(end));
  assert.equal(tokenizer.decode(plain, { skipSpecial: true }), 'a<|end|>');
});

test('a token that is added but no control token is found in any text', () => {
  const tool = tokenizer.idOf('<tool>') as number;
  assert.ok(tokenizer.encode('a<tool>b', { allowSpecial: false }).includes(tool));
  assert.equal(tokenizer.isSpecial(tool), false);
});

test('decoding gives the text back, whatever it is, and lone surrogates as U+FFFD', () => {
  const rng = Rng.fromSeed(1);
  for (let i = 0; i < 300; i++) {
    const codes = Array.from({ length: rng.nextBelow(20) }, () =>
      rng.nextBelow(rng.nextBelow(2) === 0 ? 0x80 : 0x110000),
    );
    const text = String.fromCodePoint(...codes);
    const ids = tokenizer.encode(text, { allowSpecial: false });
    assert.equal(tokenizer.decode(ids, { skipSpecial: false }), text.toWellFormed());
  }
  assert.equal(
    tokenizer.decode(tokenizer.encode('a\ud800b', { allowSpecial: false }), { skipSpecial: false }),
    'a\ufffdb',
  );
});

test('skipSpecial leaves control tokens out, and joins the bytes around them', () => {
  const [first, second] = ['\u00e9'].flatMap((text) => [...tokenizer.encode(text, { allowSpecial: false })]) as [
    number,
    number,
  ];
  const ids = [first, tokenizer.idOf('<|end|>') as number, second];
  assert.equal(tokenizer.decode(ids, { skipSpecial: true }), '\u00e9');
  assert.equal(tokenizer.decode(ids, { skipSpecial: false }), '\ufffd<|end|>\ufffd');
});

test('an id past the vocabulary has no text, and what is no id is refused', () => {
  assert.equal(tokenizer.tokenBytes(tokenizer.vocabSize + 5).length, 0);
  assert.throws(() => tokenizer.tokenBytes(-1), { code: 'REQUEST_INVALID' });
  assert.throws(() => tokenizer.decode([0.5], { skipSpecial: false }), { code: 'REQUEST_INVALID' });
});

test('the digest is of what decides ids', () => {
  assert.equal(tokenizer.digest, letterTokenizer().digest);
  const json = letterTokenizerJson();
  const changed = loadTokenizerJson(JSON.stringify({ ...json, normalizer: { type: 'NFC' } }), 'x');
  const fewer = loadTokenizerJson(
    JSON.stringify({ ...json, model: { ...json.model, merges: json.model.merges.slice(1) } }),
    'x',
  );
  assert.equal(new Set([tokenizer.digest, changed.digest, fewer.digest]).size, 3);
});

test('roles come from the files beside tokenizer.json', () => {
  const json = JSON.stringify(letterTokenizerJson());
  const loaded = loadTokenizerJson(json, 'x', {
    config: { bos_token: '<|start|>', pad_token: { content: '<|end|>' }, add_bos_token: true },
    specialTokensMap: { eos_token: '<|end|>' },
    generationConfig: { eos_token_id: [257, 256] },
  });
  assert.deepEqual(
    [loaded.bosId, loaded.eosIds, loaded.padId, loaded.unkId, loaded.addsBos],
    [256, [257, 256], 257, null, true],
  );
  assert.throws(() => loadTokenizerJson(json, 'x.json', { config: { eos_token: '<gone>' } }), {
    code: 'TOKENIZER_INVALID',
    message: /x\.json.*eos_token.*<gone>/,
  });
});

const bad: [problem: string, change: (json: ReturnType<typeof letterTokenizerJson>) => unknown, expected: RegExp][] = [
  ['cut off', (json) => JSON.stringify(json).slice(0, 200), /t\.json: is not valid JSON/],
  ['an unknown model', (json) => ({ ...json, model: { type: 'Telepathy', vocab: {} } }), /Telepathy/],
  [
    'a merge of an unknown token',
    (json) => ({ ...json, model: { ...json.model, merges: ['a \u0394'] } }),
    /merge 0 .*a \u0394/,
  ],
  [
    'a merge into an unknown token',
    (json) => ({ ...json, model: { ...json.model, merges: [['z', 'z']] } }),
    /merge 0 .*"zz"/,
  ],
  [
    'a merge of three',
    (json) => ({ ...json, model: { ...json.model, merges: ['a b c'] } }),
    /merge 0 must be two tokens/,
  ],
  ['an id twice', (json) => ({ ...json, model: { ...json.model, vocab: { a: 1, b: 1 } } }), /id 1 to both "a" and "b"/],
  [
    'a huge id',
    (json) => ({ ...json, model: { ...json.model, vocab: { a: 2 ** 40 } } }),
    /vocab\["a"\] must be a whole number/,
  ],
  ['an empty vocabulary', (json) => ({ ...json, model: { ...json.model, vocab: {}, merges: [] } }), /vocab is empty/],
  ['no model', (json) => ({ ...json, model: undefined }), /model must be an object, it is missing/],
  [
    'an added token without text',
    (json) => ({ ...json, added_tokens: [{ id: 1, content: '' }] }),
    /added_tokens\[0\]\.content/,
  ],
  ['an unknown step', (json) => withStep(json, { type: 'Whitespace' }), /step "Whitespace" is not supported/],
  ['a bad regular expression', (json) => withStep(json, splitBy('(')), /t\.json: .*regular expression/i],
  [
    'a split that the library does otherwise',
    (json) => withStep(json, { ...splitBy('a'), behavior: 'Contiguous' }),
    /Contiguous/,
  ],
  ['SentencePiece', (json) => ({ ...json, pre_tokenizer: { type: 'Metaspace' } }), /no ByteLevel step/],
];

const splitBy = (Regex: string): object => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const withStep = (json: object, step: object): unknown => ({
  ...json,
  pre_tokenizer: { type: 'Sequence', pretokenizers: [step, { type: 'ByteLevel' }] },
});

for (const [problem, change, expected] of bad) {
  test(`a tokenizer.json with ${problem} is refused by name`, () => {
    const changed = change(letterTokenizerJson());
    const json = typeof changed === 'string' ? changed : JSON.stringify(changed);
    assert.throws(() => loadTokenizerJson(json, 't.json'), { code: 'TOKENIZER_INVALID', message: expected });
  });
}

const metadata: [string, unknown][] = [
  ['tokenizer.ggml.model', 'gpt2'],
  ['tokenizer.ggml.pre', 'gpt-2'],
  ['tokenizer.ggml.tokens', ['a', 'b', 'ab', '<|end|>']],
  ['tokenizer.ggml.token_type', [1, 1, 1, 3]],
  ['tokenizer.ggml.merges', ['a b']],
  ['tokenizer.ggml.eos_token_id', 3],
];
const badMetadata: [key: string, value: unknown, code: string, message: RegExp][] = [
  ['model', 'bert', 'MODEL_UNSUPPORTED', /m\.gguf: tokenizer\.ggml\.model is "bert"/],
  ['model', undefined, 'TOKENIZER_INVALID', /m\.gguf: has no tokenizer/],
  ['pre', 'constructor', 'MODEL_UNSUPPORTED', /"constructor": supported are gpt-2, smollm/],
  ['tokens', ['a', 'a', 'ab', '<|end|>'], 'TOKENIZER_INVALID', /has "a" twice/],
  ['tokens', undefined, 'TOKENIZER_INVALID', /has no tokenizer\.ggml\.tokens/],
  ['tokens', 7, 'TOKENIZER_INVALID', /tokens must be a non-empty array/],
  ['tokens', ['a', 'b', 3, 'x'], 'TOKENIZER_INVALID', /tokens\[2\] must be a string/],
  ['token_type', [1], 'TOKENIZER_INVALID', /token_type must have one number for each of the 4/],
  ['merges', ['a b', 'b ab'], 'TOKENIZER_INVALID', /merge 1 \("b ab"\)/],
  ['merges', ['ab'], 'TOKENIZER_INVALID', /merge 0 \("ab"\) must be two tokens/],
  ['eos_token_id', 4, 'TOKENIZER_INVALID', /eos_token_id is 4: expected 0 to 3/],
];
for (const [key, value, code, message] of badMetadata) {
  test(`GGUF metadata with ${key} ${JSON.stringify(value)} is refused by name`, () => {
    const map = new Map(metadata).set(`tokenizer.ggml.${key}`, value);
    if (value === undefined) map.delete(`tokenizer.ggml.${key}`);
    assert.throws(() => tokenizerFromGguf(map, 'm.gguf'), { code, message });
  });
}

test('GGUF metadata gives merges, control tokens and end tokens', () => {
  const built = tokenizerFromGguf(new Map(metadata).set('tokenizer.ggml.eot_token_id', 1), 'm.gguf');
  assert.deepEqual([...built.encode('ab<|end|>', { allowSpecial: true })], [2, 3]);
  assert.deepEqual(built.eosIds, [3, 1]);
  assert.equal(built.isSpecial(3), true);
});
