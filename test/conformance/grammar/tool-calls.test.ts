/** What the grammars of tool calls let through, letter by letter; and answers of a model that knows nothing, held to them. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { Rng } from '../../../src/base/index.ts';
import { callsOnly, textWithCalls, type CallForm, type Grammar } from '../../../src/grammar/index.ts';
import { callBegin, callEnd, HERMES, LLAMA3_JSON, ToolCallParser, type ToolSyntax } from '../../../src/text/index.ts';
import { ConstrainedBase } from '../../support/constrained.ts';
import { wayThrough, type Way } from '../../support/grammar-acceptance.ts';
import { randomSchema } from '../../support/random-schemas.ts';

const base = new ConstrainedBase();
after(() => base[Symbol.dispose]());

const CITY = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Rome', 'Köln'] } },
  required: ['city'],
  additionalProperties: false,
};

function formOf(syntax: ToolSyntax, name: string, schema: unknown): CallForm {
  return { begin: callBegin(syntax, name), end: callEnd(syntax), schema, param: 'tools' };
}

const formsIn = (syntax: ToolSyntax): CallForm[] => [formOf(syntax, 'weather', CITY), formOf(syntax, 'any', null)];
const hermes = (name: string, given: string): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`;
const llama = (name: string, given: string): string => `{"name": "${name}", "parameters": ${given}}`;

const ROME = hermes('weather', '{"city": "Rome"}');
const ANY = hermes('any', '{"x":[{"y":"}"}]}');

async function assertWays(grammar: Grammar, ways: Readonly<Record<Way, readonly string[]>>): Promise<void> {
  const wayOf = await wayThrough(grammar);
  for (const way of ['whole', 'begun', 'refused'] as const) {
    for (const text of ways[way]) assert.equal(wayOf(text), way, JSON.stringify(text));
  }
}

/** Wrong in any answer that has a call of these tools, or a beginning of one. */
const WRONG_CALLS = [
  hermes('other', '{}'),
  hermes('weather', '{}'),
  hermes('weather', '{"city":"Paris"}'),
  hermes('weather', '{"city":"Rome","x":1}'),
  hermes('any', '[]'),
  hermes('any', '5'),
  '<tool_call>x',
  '<tool_call>\n{"name": "any", "parameters"',
  ROME.replace('"}}', '"}'),
];

test('an answer of calls is one, or one or more, and nothing else', async () => {
  const refused = [...WRONG_CALLS, `x${ROME}`, ` ${ROME}`, `${ROME}x`, 'hello'];
  const begun = ['', '<tool_', '<tool_call>\n{"name": "weather", "arguments": {"city": "R', ROME.slice(0, -1)];
  const layout = { ...HERMES, isSingle: false };
  await assertWays(callsOnly(formsIn(HERMES), layout), {
    whole: [ROME, ANY, `${ROME}\n${ANY}\n${ROME}`],
    begun: [...begun, `${ROME}\n`, `${ROME}\n<tool_call>\n`],
    refused: [...refused, `${ROME}${ANY}`],
  });
  await assertWays(callsOnly(formsIn(HERMES), { ...layout, isSingle: true }), {
    whole: [ROME, ANY],
    begun,
    refused: [...refused, `${ROME}\n`, `${ROME}\n${ANY}`],
  });
});

test('in text the model is free, but not in a call that it has begun', async () => {
  const free = ['', 'hello <tool', 'a <tool_call', '{"a": 1}', '</tool_call>', 'Grüße\n\n😀 '];
  const refused = [...WRONG_CALLS, ...WRONG_CALLS.map((call) => `hello ${call}`), '<tool_call><tool_call>'];
  const begun = ['<tool_call>', 'x <tool_call>\n{"na', `x ${ROME.slice(0, -1)}`];
  const layout = { ...HERMES, isSingle: false };
  await assertWays(textWithCalls(formsIn(HERMES), layout), {
    whole: [...free, ROME, `I look. ${ROME}`, `${ROME}\n${ANY}`, `${ROME} so ${ANY} and`],
    begun: [...begun, `${ROME}\n<tool_call>`],
    refused: [...refused, ...WRONG_CALLS.map((call) => `${ROME}\n${call}`)],
  });
  await assertWays(textWithCalls(formsIn(HERMES), { ...layout, isSingle: true }), {
    whole: [...free, ROME, `I look. ${ROME}`],
    begun,
    refused: [...refused, `${ROME}\n`, `${ROME}${ANY}`],
  });
});

test('without a marker an answer that begins with a brace is calls', async () => {
  const rome = llama('weather', '{"city":"Rome"}');
  const layout = { ...LLAMA3_JSON, isSingle: false };
  await assertWays(textWithCalls(formsIn(LLAMA3_JSON), layout), {
    whole: ['', 'hello', `hello ${rome}`, 'x {"a": 1}', rome, `${rome}; ${llama('any', '{}')}`],
    begun: ['{', '{"name": "we', `${rome}; `],
    refused: ['{"a": 1}', ' x', llama('weather', '{}'), `${rome} x`, `${rome};x`],
  });
});

test('every call of a random model is one of the tools, its arguments of the tool’s schema', async () => {
  const rng = Rng.fromSeed(23, 'tools');
  const NUM_TOOLSETS = 12;
  const SEEDS_EACH = 4;
  let [numWhole, numCut, numCalls] = [0, 0, 0];
  const toolsets = Array.from({ length: NUM_TOOLSETS }, () =>
    Array.from({ length: 1 + rng.nextBelow(4) }, (_, n) => ({ name: `tool_${n}`, schema: randomSchema(rng) })),
  );
  for (const [index, tools] of toolsets.entries()) {
    const syntax = index % 3 === 0 ? LLAMA3_JSON : HERMES;
    const isSingle = index % 2 === 0;
    const forms = tools.map(({ name, schema }) => formOf(syntax, name, schema));
    const grammar = await base.compile(callsOnly(forms, { ...syntax, isSingle }));
    const requests = Array.from({ length: SEEDS_EACH }, (_, seed) => ({
      prompt: `<|im_start|>user\n${index}<|im_end|>\n<|im_start|>assistant\n`,
      grammar,
      sampling: { temperature: 1, topP: 1, seed: index * SEEDS_EACH + seed },
      maxTokens: 400,
    }));
    for (const { text, finishReason } of base.answer(requests)) {
      const parser = new ToolCallParser(
        syntax,
        tools.map(({ name }) => name),
        { onlyCalls: false },
      );
      const parts = [...parser.push(text), ...parser.finish()];
      const calls: { name: string; text: string }[] = [];
      for (const part of parts) {
        if (part.kind === 'text') continue;
        if (part.name !== undefined) calls.push({ name: part.name, text: '' });
        const call = calls.at(-1);
        assert.ok(call);
        call.text += part.argumentsText;
      }
      if (finishReason === 'stop') {
        numWhole++;
        assert.ok(parts.every(({ kind }) => kind === 'call') && parser.endsInCalls, text);
        assert.ok(isSingle ? calls.length === 1 : calls.length >= 1, text);
      } else {
        numCut++;
        if (!parser.endsInCalls) calls.pop();
      }
      for (const { name, text: given } of calls) {
        numCalls++;
        const tool = tools.find((known) => known.name === name);
        assert.ok(tool, name);
        const checked = z.fromJSONSchema(tool.schema).safeParse(JSON.parse(given));
        assert.ok(checked.success, `${JSON.stringify(tool.schema)}: ${given}: ${checked.error?.message}`);
      }
    }
  }
  assert.ok(numWhole >= 10 && numCalls >= numWhole, `${numWhole} whole, ${numCut} cut, ${numCalls} calls`);
});
