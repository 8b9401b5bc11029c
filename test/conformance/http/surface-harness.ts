/** A real server with a tiny base and a few adapters, asked by the official client: started before the tests of the file that imports this. */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import OpenAI from 'openai';
import { spanHooks } from '../../../src/adapters/index.ts';
import { loadBase, type BaseModel } from '../../../src/model/index.ts';
import { loadNativeKernels, type Floats } from '../../../src/numeric/index.ts';
import { openChatRenderer, type ChatRenderer } from '../../../src/text/index.ts';
import { forwardLogits } from '../../support/forward-logits.ts';
import { startTinyServer, type TinyServer } from '../../support/tiny-server.ts';

export type ChatBody = OpenAI.ChatCompletionCreateParamsNonStreaming;
export type TextBody = OpenAI.CompletionCreateParamsNonStreaming;

export let server: TinyServer;
export let client: OpenAI;
export let base: BaseModel;
export let renderer: ChatRenderer;

before(async () => {
  server = await startTinyServer({
    contextLength: 256,
    adapters: {
      'acme/triage': { seed: 1, rank: 4, targets: ['q_proj', 'v_proj'] },
      'acme/reply': { seed: 2, rank: 8, targets: 'all-linear' },
      'globex/label': { seed: 3, rank: 2, targets: ['o_proj'] },
    },
  });
  client = clientOf('acme');
  base = loadBase(server.basePath, 'tiny', loadNativeKernels({ threads: 1 }), 'bf16');
  renderer = openChatRenderer(server.basePath);
});
after(() => server?.[Symbol.asyncDispose]());

export function clientOf(tenant: string): OpenAI {
  return new OpenAI({ apiKey: server.keyOf(tenant), baseURL: `${server.url}/v1`, maxRetries: 0 });
}

/** Fields that OpenAI's types do not have. */
export type More = Readonly<Record<string, unknown>>;

export function ask(content: string, more: Partial<ChatBody> & More = {}): ChatBody {
  return { model: 'tiny', messages: [{ role: 'user', content }], temperature: 0, max_completion_tokens: 12, ...more };
}

export async function chat(body: ChatBody): Promise<OpenAI.ChatCompletion.Choice> {
  return (await client.chat.completions.create(body)).choices[0];
}

export function text(prompt: TextBody['prompt'], more: Partial<TextBody> & More = {}): TextBody {
  return { model: 'tiny', prompt, temperature: 0, max_tokens: 8, ...more };
}

export async function complete(body: TextBody): Promise<OpenAI.CompletionChoice> {
  return (await client.completions.create(body)).choices[0];
}

export async function refusal(asked: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  const error = await asked.then(
    () => assert.fail('the request was answered'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return error;
}

function logSoftmax(logits_V: Floats): Float64Array {
  const logits = Float64Array.from(logits_V);
  const max = logits.reduce((a, b) => Math.max(a, b));
  const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
  return logits.map((logit) => logit - max - logSum);
}

/** Log softmax after each token of a sequence. */
export function plainLogprobs(tokenIds: readonly number[], hooks = spanHooks([])): Float64Array[] {
  const { vocabSize: V } = base.config;
  const [logits] = forwardLogits(base, [tokenIds], hooks);
  return tokenIds.map((_, n) => logSoftmax(logits.subarray(n * V, (n + 1) * V)));
}

export const bytesOf = (id: number): number[] => [...renderer.tokenizer.tokenBytes(id)];

/** The one id whose bytes these are, among those that a position finds most probable. */
export function idOf(bytes: readonly number[] | null | undefined, logprobs: Float64Array): number {
  const order = [...logprobs.keys()].toSorted((a, b) => logprobs[b] - logprobs[a]);
  return order.find((id) => bytesOf(id).join() === bytes?.join()) ?? assert.fail('no token has these bytes');
}

/** The last test of a file: nothing of all that it asked was an error of the server. */
export function assertNoErrors(): void {
  assert.deepEqual(server.errors, []);
}
