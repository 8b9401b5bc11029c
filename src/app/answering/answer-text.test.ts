import assert from 'node:assert/strict';
import { test } from 'node:test';
import { letterTokenizer } from '../../../test/support/letter-tokenizer.ts';
import { Rng } from '../../base/index.ts';
import type { AnswerToken } from '../../http/index.ts';
import type { RankedLogprob } from '../../serving/index.ts';
import { HERMES, ToolCallParser } from '../../text/index.ts';
import { AnswerText, promptTokens } from './answer-text.ts';

const tokenizer = letterTokenizer();
const utf8 = new TextDecoder();

const logprobsOf = (ids: readonly number[]): RankedLogprob[] =>
  ids.map((id, n) => ({ id, logprob: -n, top: [{ id: 1, logprob: -0.5 }] }));

interface Said {
  readonly text: string;
  readonly tokens: readonly AnswerToken[];
  /** Those that are counted. */
  readonly numTokens: number;
  readonly isStopped: boolean;
}

/** Pushes the ids in pieces as an engine would, until a stop string ends it. */
function say(ids: readonly number[], stops: readonly string[], cut: () => number, offset = 0): Said {
  const answer = new AnswerText(tokenizer, stops, offset);
  const logprobs = logprobsOf(ids);
  let text = '';
  const tokens: AnswerToken[] = [];
  let numTokens = 0;
  for (let at = 0; at < ids.length || at === 0;) {
    const next = Math.min(ids.length, at + cut());
    const piece = answer.push(ids.slice(at, next), logprobs.slice(at, next), next === ids.length);
    text += piece.text;
    numTokens += piece.numTokens;
    tokens.push(...piece.tokens);
    assert.ok(
      tokens.every((token) => token.offset - offset <= text.length),
      'tokens never run ahead of their text',
    );
    if (stops.length === 0) {
      const told = utf8.decode(Buffer.concat(tokens.map(({ bytes }) => bytes)));
      assert.ok(told.replace('<|end|>', '').startsWith(text), 'text comes with its tokens');
    }
    if (piece.isStopped) return { text, tokens, numTokens, isStopped: true };
    if (next === ids.length) break;
    at = next;
  }
  return { text, tokens, numTokens, isStopped: false };
}

test('the tokens that come out are those whose text does, however they come in', () => {
  const rng = Rng.fromSeed(4);
  const alphabet = ['a', 'b', 'th', 'the', 'é', '日', '😀', '\n\n'];
  let numStopped = 0;
  for (let n = 0; n < 400; n++) {
    const source = Array.from({ length: 1 + rng.nextBelow(12) }, () => alphabet[rng.nextBelow(alphabet.length)]).join(
      '',
    );
    const ids = [...tokenizer.encode(source, { allowSpecial: false })];
    const stops = n % 2 === 0 ? [] : ['ab', '日', 'the😀'];
    const said = say(ids, stops, () => 1 + rng.nextBelow(5));
    const { text, tokens, isStopped } = said;
    assert.deepEqual(
      said,
      say(ids, stops, () => 1),
      'what comes together is as what comes alone, and counts as much',
    );
    const cut = Math.min(...stops.map((stop) => source.indexOf(stop)).filter((at) => at >= 0), source.length);
    if (!isStopped) assert.equal(text, source);
    const joined = utf8.decode(Buffer.concat(tokens.map(({ bytes }) => bytes)));
    // A token can reach over the cut, never begin behind it.
    assert.ok(joined.startsWith(text), `${JSON.stringify(joined)} begins with ${JSON.stringify(text)}`);
    assert.ok(tokens.every(({ offset }) => offset < Math.max(1, text.length)));
    if (isStopped) {
      numStopped++;
      assert.ok(text.length <= source.length && cut <= source.length);
    } else {
      assert.equal(joined, source);
    }
    assert.deepEqual(
      tokens.map(({ logprob }) => logprob),
      tokens.map((_, at) => (at === 0 ? -0 : -at)),
    );
  }
  assert.ok(numStopped > 50);
});

test('a stop string takes its own tokens with it', () => {
  const ids = [...tokenizer.encode('one.two', { allowSpecial: false })];
  for (const size of [1, 2, 7]) {
    const { text, tokens } = say(ids, ['.t'], () => size);
    assert.equal(text, 'one');
    assert.deepEqual(
      tokens.map(({ bytes }) => utf8.decode(bytes)),
      ['o', 'n', 'e'],
    );
  }
});

test('offsets count from where the answer begins, and control tokens have a place and no text', () => {
  const end = tokenizer.idOf('<|end|>') ?? assert.fail();
  const ids = [
    ...tokenizer.encode('a', { allowSpecial: false }),
    end,
    ...tokenizer.encode('日b', { allowSpecial: false }),
  ];
  const { text, tokens } = say(ids, [], () => 1, 10);
  assert.equal(text, 'a日b');
  assert.deepEqual(
    tokens.map(({ offset }) => offset),
    [10, 11, 11, 11, 11, 12],
  );
  assert.deepEqual(tokens[0].top, [{ bytes: tokenizer.tokenBytes(1), logprob: -0.5 }]);
});

test('without log-probabilities there are no tokens', () => {
  const answer = new AnswerText(tokenizer, [], 0);
  assert.deepEqual(
    answer.push(tokenizer.encode('ab', { allowSpecial: false }).length > 0 ? [97, 98] : [], undefined, true).tokens,
    [],
  );
});

test('the first token of a prompt has no log-probability, each other one its own', () => {
  const start = tokenizer.idOf('<|start|>') ?? assert.fail();
  const ids = [start, ...tokenizer.encode('xy', { allowSpecial: false })];
  const told = (skipSpecial: boolean): unknown[] =>
    promptTokens(tokenizer, ids, logprobsOf(ids).slice(1), { skipSpecial }).map(({ logprob, offset, top }) => [
      logprob,
      offset,
      top.length,
    ]);
  assert.deepEqual(told(true), [
    [null, 0, 0],
    [-1, 0, 1],
    [-2, 1, 1],
  ]);
  assert.deepEqual(told(false)[2], [-2, '<|start|>'.length + 1, 1]);
});

const CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "th."}}\n</tool_call>';

/** Pushes an answer with calls of `f`. */
function sayWithCalls(source: string, stops: readonly string[], cut: () => number) {
  const ids = [...tokenizer.encode(source, { allowSpecial: false })];
  const answer = new AnswerText(tokenizer, stops, 0, new ToolCallParser(HERMES, ['f'], { onlyCalls: false }));
  let text = '';
  let given = '';
  let numCalls = 0;
  const tokens: AnswerToken[] = [];
  for (let at = 0; at < ids.length;) {
    const next = Math.min(ids.length, at + cut());
    const piece = answer.push(ids.slice(at, next), logprobsOf(ids.slice(at, next)), next === ids.length);
    text += piece.text;
    for (const { name, argumentsText } of piece.calls) {
      given += argumentsText;
      numCalls += Number(name !== undefined);
    }
    tokens.push(...piece.tokens);
    if (piece.isStopped) return { text, given, numCalls, tokens, isStopped: true };
    at = next;
  }
  return { text, given, numCalls, tokens, isStopped: false };
}

test('stop strings end text and not calls; the tokens of all that comes out are told, and of nothing behind the cut', () => {
  const rng = Rng.fromSeed(6);
  const shown = (tokens: readonly AnswerToken[]): string =>
    utf8.decode(Buffer.concat(tokens.map(({ bytes }) => bytes)));
  for (let n = 0; n < 60; n++) {
    const cut = (): number => 1 + rng.nextBelow(n < 20 ? 200 : 9);
    const whole = sayWithCalls(`ab ${CALL}\n${CALL}`, ['th', '"', '\n'], cut);
    assert.deepEqual([whole.text, whole.given, whole.numCalls], ['ab', '{"a": "th."}{"a": "th."}', 2]);
    assert.equal(shown(whole.tokens), `ab ${CALL}\n${CALL}`);
    const stopped = sayWithCalls(`ab${CALL} so th. ${CALL}`, ['th'], cut);
    assert.deepEqual([stopped.text, stopped.given, stopped.isStopped], ['ab so ', '{"a": "th."}', true]);
    assert.equal(shown(stopped.tokens), `ab${CALL} so `);
    // What may begin a stop string is text once a call comes.
    const held = sayWithCalls(`abt${CALL}h`, ['th'], cut);
    assert.deepEqual([held.text, held.numCalls, held.isStopped], ['abth', 1, false]);
  }
});
