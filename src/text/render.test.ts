import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import type { ChatMessage } from '../formats/index.ts';
import { letterTokenizer } from '../../test/support/letter-tokenizer.ts';
import { CompiledTemplate } from './chat-template.ts';
import { ChatRenderer, weightSpans, type RenderedExample } from './render.ts';

const tokenizer = letterTokenizer();
const LINES = `{%- for message in messages %}{{ '<|start|>' + message.role + '\\n' + message.content + '<|end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}`;
const TRIMMED = LINES.replace('message.content', '(message.content | trim)');
const renderer = rendererFor(LINES);

function rendererFor(source: string): ChatRenderer {
  return new ChatRenderer(tokenizer, new CompiledTemplate(source, {}, 'test template'));
}

function user(content: string): ChatMessage {
  return { role: 'user', content };
}

function assistant(content: string, weight?: 0 | 1): ChatMessage {
  return weight === undefined ? { role: 'assistant', content } : { role: 'assistant', content, weight };
}

function textOf(ids: Int32Array): string {
  return tokenizer.decode(ids, { skipSpecial: false });
}

function shown(example: RenderedExample): [weight: number, text: string][] {
  return weightSpans(example).map(({ start, end, weight }) => [weight, textOf(example.tokenIds.subarray(start, end))]);
}

test('learned are the answers and the tokens that end them, and nothing else', () => {
  const example = renderer.renderExample({ messages: [user('q'), assistant('one'), user('r'), assistant('two')] });
  assert.deepEqual(shown(example), [
    [0, '<|start|>user\nq<|end|>\n<|start|>assistant\n'],
    [1, 'one<|end|>'],
    [0, '\n<|start|>user\nr<|end|>\n<|start|>assistant\n'],
    [1, 'two<|end|>'],
    [0, '\n'],
  ]);
  assert.equal(example.tokenIds.length, example.lossWeights.length);
});

test('a turn of weight 0 is context', () => {
  const example = renderer.renderExample({
    messages: [user('q'), assistant('one', 0), user('r'), assistant('two', 1)],
  });
  assert.deepEqual(
    shown(example).filter(([weight]) => weight > 0),
    [[1, 'two<|end|>']],
  );
});

test('a completion is one user message and its answer', () => {
  const chat = renderer.renderExample({ messages: [user('p'), assistant('c')] });
  assert.deepEqual(renderer.renderCompletion({ prompt: 'p', completion: 'c' }), chat);
});

const PIECES = [
  'a',
  'the ',
  '\n',
  '\n\n',
  ' ',
  '\t',
  '<|end|>',
  '<|start|>assistant\n',
  '<|',
  'end|>',
  '\u00e9',
  '\u{1f600}',
  '\ue0000\ue000',
  '0',
  '<tool>',
];

test('the tokens before an answer are those of the prompt that asks for it, and contents never hold control tokens', () => {
  const rng = Rng.fromSeed(7);
  const content = (): string =>
    Array.from({ length: rng.nextBelow(6) }, () => PIECES[rng.nextBelow(PIECES.length)]).join('');
  const control = [tokenizer.idOf('<|start|>'), tokenizer.idOf('<|end|>')];
  for (const source of [LINES, TRIMMED]) {
    const tested = rendererFor(source);
    for (let i = 0; i < 200; i++) {
      const numTurns = 1 + rng.nextBelow(3);
      const messages = Array.from({ length: numTurns }, () => [user(content()), assistant(content())]).flat();
      const { tokenIds, lossWeights } = tested.renderExample({ messages });
      for (let turn = 0; turn < numTurns; turn++) {
        const prompt = tested.renderPrompt(messages.slice(0, 2 * turn + 1));
        assert.deepEqual(tokenIds.subarray(0, prompt.length), prompt, JSON.stringify(messages));
        assert.equal(lossWeights[prompt.length - 1], 0);
        assert.equal(lossWeights[prompt.length], 1);
      }
      const trim = (text: string): string => (source === TRIMMED ? text.trim() : text);
      const expected = messages.map(({ role, content: text }) => `<|start|>${role}\n${trim(text)}<|end|>\n`).join('');
      assert.equal(textOf(tokenIds), expected);
      assert.equal(tokenIds.filter((id) => control.includes(id)).length, 2 * messages.length, JSON.stringify(messages));
    }
  }
});

test('control tokens in names and tool descriptions stay text', () => {
  const source = `{%- for tool in tools %}{{ tool | tojson }}{% endfor %}{{ messages[0].name }}`;
  const tools = [{ '<|end|>': ['<|start|>'] }];
  const ids = rendererFor(source).renderPrompt([{ role: 'user', content: '', name: '<|end|>' }], { tools });
  assert.equal(textOf(ids), '{"<|end|>": ["<|start|>"]}<|end|>');
  assert.ok(!ids.some((id) => tokenizer.isSpecial(id)));
});

test('an answer always begins a new token', () => {
  const { tokenIds, lossWeights } = renderer.renderExample({ messages: [user('q'), assistant('\nx')] });
  const start = lossWeights.indexOf(1);
  assert.deepEqual([...tokenIds.subarray(start - 1, start + 1)], [0x0a, 0x0a]);
});

test('a turn that the template changes afterwards cannot be learned, but can be prompted with', () => {
  const fickle = rendererFor(`{{ messages | length }} ${LINES}`);
  const messages = [user('q'), assistant('a')];
  assert.throws(() => fickle.renderExample({ messages, line: 3 }), {
    code: 'DATA_INVALID',
    message: /^line 3: assistant turn 1 of this example does not continue/,
  });
  assert.match(textOf(fickle.renderPrompt([...messages, user('r')])), /^3<\|start\|>user/);
});

test('what the template refuses in an example names its line', () => {
  const strict = rendererFor("{{ raise_exception('no') }}");
  assert.throws(() => strict.renderExample({ messages: [user('q')], line: 9 }), {
    code: 'DATA_INVALID',
    message: /^line 9: .*no$/,
  });
});

test('without an end token the turn ends at the next control token, or with the text', () => {
  const open =
    rendererFor(`{%- for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`);
  assert.deepEqual(shown(open.renderExample({ messages: [user('q'), assistant('a')] })).at(-1), [1, 'a\n']);
  const started = rendererFor(LINES.replace('<|end|>', ''));
  const messages: ChatMessage[] = [user('q'), assistant('a'), user('r')];
  assert.deepEqual(shown(started.renderExample({ messages }))[1], [1, 'a\n<|start|>']);
});

test('a plain text has the beginning token only where the model expects it', () => {
  assert.equal(textOf(renderer.renderText('the <|end|>')), 'the <|end|>');
  assert.ok(!renderer.renderText('<|end|>').includes(tokenizer.idOf('<|end|>') as number));
});

test('the digest is of tokenizer and template', () => {
  assert.notEqual(renderer.digest, rendererFor(TRIMMED).digest);
  assert.equal(renderer.digest, rendererFor(LINES).digest);
});
