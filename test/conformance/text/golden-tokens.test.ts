import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  CompiledTemplate,
  ChatRenderer,
  loadTokenizerJson,
  tokenizerFromGguf,
  type ChatMessage,
  type Tokenizer,
} from '../../../src/text/index.ts';
import { differences, goldenPath, readGolden, tinyGgufMetadata, type TokenCase } from './golden.ts';

const tinyPath = goldenPath('tiny-tokenizer.json');
const tokens = { bos_token: '<|endoftext|>', eos_token: '<|im_end|>', pad_token: '<|im_end|>' };
const tiny = loadTokenizerJson(readFileSync(tinyPath), tinyPath, { config: tokens });
const golden = readGolden<{ pre: Record<string, TokenCase[]> }>('tiny.json');

test('tokenizer.json gives the ids and the text of Hugging Face', () => {
  assert.deepEqual(differences(tiny, golden.pre['smollm'] ?? []), []);
});

for (const [pre, cases] of Object.entries(golden.pre)) {
  test(`GGUF metadata with tokenizer.ggml.pre = ${pre} gives the ids and the text of Hugging Face`, () => {
    assert.deepEqual(differences(tokenizerFromGguf(tinyGgufMetadata(pre), 'tiny.gguf'), cases), []);
  });
}

test('the golden cases tell the splittings apart', () => {
  for (const pre of ['gpt-2', 'llama-bpe', 'qwen2']) {
    assert.notDeepEqual(differences(tiny, golden.pre[pre] ?? []), [], pre);
  }
});

const tokenizers = (pre: string): Tokenizer => tokenizerFromGguf(tinyGgufMetadata(pre), 'tiny.gguf');

interface TemplateGolden {
  readonly templates: Record<string, string>;
  readonly cases: readonly {
    readonly template: string;
    readonly pre: string;
    readonly messages: ChatMessage[];
    readonly tools: unknown[] | null;
    readonly add_generation_prompt: boolean;
    readonly text: string;
    readonly rendered: { readonly ids: number[] };
  }[];
}

test('chat templates give the text and the ids of apply_chat_template', () => {
  const { templates, cases } = readGolden<TemplateGolden>('templates.json');
  assert.equal(cases.length, 34);
  for (const { template, pre, messages, tools, add_generation_prompt: addGenerationPrompt, text, rendered } of cases) {
    const compiled = new CompiledTemplate(templates[template] ?? '', tokens, template);
    const options = { addGenerationPrompt, ...(tools ? { tools } : {}) };
    const label = `${template} ${JSON.stringify(messages)} ${addGenerationPrompt}`;
    assert.equal(compiled.render({ messages, ...options }), text, label);
    assert.deepEqual(
      [...new ChatRenderer(tokenizers(pre), compiled).renderPrompt(messages, options)],
      rendered.ids,
      label,
    );
  }
});
