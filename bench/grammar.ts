/**
 * What constrained decoding costs: the time to compile a grammar, and of each token the time to make its mask, to set the forbidden
 * logits to −∞, and to follow the token that is chosen, over the whole vocabulary of a base. The tokens are drawn at random among those allowed,
 * which is harder than what a model writes: its JSON has fewer strings of strange bytes.
 *
 *   node bench/grammar.ts [--base=smollm2-135m-instruct] [--answers=8] [--tokens=200] [--rounds=5] [--json]
 */
import { parseArgs } from 'node:util';
import { readConfig, resolveBase } from '../src/app/index.ts';
import { Rng, systemClock } from '../src/base/index.ts';
import {
  ANY_OBJECT,
  callsOnly,
  engineForm,
  GrammarCompiler,
  maskLogits,
  textWithCalls,
  type CallForm,
  type Grammar,
} from '../src/grammar/index.ts';
import { loadNativeGrammars, type NativeGrammar } from '../src/numeric/index.ts';
import { callBegin, callEnd, HERMES, openTokenizer, vocabularyBytes } from '../src/text/index.ts';

const { values } = parseArgs({
  options: {
    base: { type: 'string', default: 'smollm2-135m-instruct' },
    answers: { type: 'string', default: '8' },
    tokens: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const [numAnswers, maxTokens, numRounds] = [values.answers, values.tokens, values.rounds].map(Number);

const ticket = {
  type: 'object',
  properties: {
    kind: { enum: ['bug', 'question', 'wish'] },
    title: { type: 'string', maxLength: 80 },
    urgent: { type: 'boolean' },
    points: { type: 'array', items: { type: 'integer', minimum: 0, maximum: 99 }, maxItems: 8 },
    reporter: { type: 'object', properties: { name: { type: 'string' }, mail: { type: 'string', format: 'email' } } },
  },
  required: ['kind', 'title', 'urgent'],
  additionalProperties: false,
};
const wide = {
  type: 'object',
  properties: Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`field_${n}`, { type: ['string', 'null'] }])),
};
const toolsOf = (count: number): CallForm[] =>
  Array.from({ length: count }, (_, n) => ({
    begin: callBegin(HERMES, `tool_${n}`),
    end: callEnd(HERMES),
    schema: ticket,
    param: 'tools',
  }));

const GRAMMARS: Readonly<Record<string, Grammar>> = {
  'any JSON object': ANY_OBJECT,
  'a schema of 7 properties': { kind: 'json', schema: ticket },
  'a schema of 100 properties': { kind: 'json', schema: wide },
  'an expression': { kind: 'regex', pattern: '[A-Z]{3}-[0-9]{4}( [a-z]+){0,20}' },
  'a choice of 100': { kind: 'choice', texts: Array.from({ length: 100 }, (_, n) => `the label number ${n}`) },
  'calls of 4 tools': callsOnly(toolsOf(4), { ...HERMES, isSingle: false }),
  'calls of 64 tools': callsOnly(toolsOf(64), { ...HERMES, isSingle: false }),
  'text with calls of 4 tools': textWithCalls(toolsOf(4), { ...HERMES, isSingle: false }),
};

interface TokenTimes {
  readonly mask: number[];
  readonly restrict: number[];
  readonly accept: number[];
}

const found = await resolveBase(readConfig(), values.base, () => undefined);
const tokenizer = openTokenizer(found.open.path);
const vocabSize = tokenizer.vocabSize;
const vocabulary = vocabularyBytes(tokenizer, vocabSize);
const rows = [];
for (const [name, grammar] of Object.entries(GRAMMARS)) {
  const definition = engineForm(grammar, name);
  const compileMs: number[] = [];
  let compiled: NativeGrammar | undefined;
  for (let round = 0; round <= numRounds; round++) {
    // A compiler of its own keeps nothing of the round before; the first grammar of a vocabulary also builds its tree of tokens.
    const native = loadNativeGrammars(vocabulary);
    const compiler = new GrammarCompiler(native);
    await compiler.compile(engineForm({ kind: 'choice', texts: ['x'] }, name), name);
    const beganMs = systemClock.nowMs();
    compiled = await compiler.compile(definition, name);
    if (round > 0) compileMs.push(systemClock.nowMs() - beganMs);
  }
  const times: TokenTimes = { mask: [], restrict: [], accept: [] };
  const rng = Rng.fromSeed(1, name);
  for (let answer = 0; compiled && answer < numAnswers; answer++) followAnswer(compiled, rng, times);
  rows.push({
    name,
    compileMs: quantile(compileMs, 0.5),
    numTokens: times.mask.length,
    maskUs: { median: quantile(times.mask, 0.5) * 1000, p99: quantile(times.mask, 0.99) * 1000 },
    restrictUs: { median: quantile(times.restrict, 0.5) * 1000, p99: quantile(times.restrict, 0.99) * 1000 },
    acceptUs: { median: quantile(times.accept, 0.5) * 1000, p99: quantile(times.accept, 0.99) * 1000 },
  });
}

if (values.json) {
  console.log(JSON.stringify({ base: found.name, vocabSize, rows }));
} else {
  console.log(`${found.name}: ${vocabSize} tokens; median (p99) in microseconds, compiling in milliseconds`);
  console.log('| grammar | compile | mask | forbid | follow |');
  console.log('| ------- | ------- | ---- | ------ | ------ |');
  for (const { name, compileMs, maskUs, restrictUs, acceptUs } of rows) {
    const micro = ({ median, p99 }: { median: number; p99: number }): string =>
      `${median.toFixed(0)} (${p99.toFixed(0)})`;
    console.log(`| ${name} | ${compileMs.toFixed(1)} | ${micro(maskUs)} | ${micro(restrictUs)} | ${micro(acceptUs)} |`);
  }
}

function followAnswer(grammar: NativeGrammar, rng: Rng, times: TokenTimes): void {
  using progress = grammar.start();
  const mask = new Int32Array(Math.ceil(vocabSize / 32));
  const logits = new Float32Array(vocabSize);
  for (let n = 0; n < maxTokens; n++) {
    logits.fill(0);
    const beganMs = systemClock.nowMs();
    if (!progress.mask(mask)) throw new Error('a token can follow');
    const maskedMs = systemClock.nowMs();
    maskLogits(logits, mask);
    const restrictedMs = systemClock.nowMs();
    times.mask.push(maskedMs - beganMs);
    times.restrict.push(restrictedMs - maskedMs);
    const allowed = [...logits.keys()].filter((id) => logits[id] === 0);
    const id = allowed[rng.nextBelow(allowed.length)];
    if (tokenizer.eosIds.includes(id)) return;
    const chosenMs = systemClock.nowMs();
    const isWhole = progress.accept(id);
    times.accept.push(systemClock.nowMs() - chosenMs);
    if (isWhole) return;
  }
}

function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
}
