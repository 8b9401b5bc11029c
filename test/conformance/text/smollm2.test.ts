import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { openChatRenderer, type ChatMessage, type ChatRenderer } from '../../../src/text/index.ts';
import { smolBase } from '../../support/base-model.ts';
import { differences, readGolden, type TokenCase } from './golden.ts';

interface SmolGolden {
  readonly texts: TokenCase[];
  readonly chats: readonly {
    readonly messages: ChatMessage[];
    readonly add_generation_prompt: boolean;
    readonly rendered: { readonly ids: number[] };
  }[];
}

const golden = readGolden<SmolGolden>('smollm2.json');
let renderer: ChatRenderer;
before(async () => (renderer = openChatRenderer((await smolBase()).path)));

test('the real base gives the ids and the text of Hugging Face', () => {
  assert.deepEqual(differences(renderer.tokenizer, golden.texts), []);
});

test('the real base gives the prompts of apply_chat_template', () => {
  assert.equal(golden.chats.length, 10);
  for (const { messages, add_generation_prompt: addGenerationPrompt, rendered } of golden.chats) {
    assert.deepEqual(
      [...renderer.renderPrompt(messages, { addGenerationPrompt })],
      rendered.ids,
      JSON.stringify(messages),
    );
  }
});
