/** `/v1/embeddings`, asked by the official client of a real server. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type OpenAI from 'openai';
import { compileAdapter, readArtefact, spanHooks } from '../../../src/adapters/index.ts';
import { assertClose } from '../../../src/numeric/compare.ts';
import { type Floats } from '../../../src/numeric/index.ts';
import { forwardHidden } from '../../support/forward-logits.ts';
import { assertNoErrors, base, client, type More, refusal, renderer, server } from './surface-harness.ts';

describe('embeddings', () => {
  const embed = async (more: Partial<OpenAI.EmbeddingCreateParams> & More): Promise<number[][]> => {
    const { data } = await client.embeddings.create({ model: 'tiny', input: 'pear', ...more });
    assert.deepEqual(
      data.map(({ index }) => index),
      [...data.keys()],
    );
    return data.map(({ embedding }) => embedding);
  };
  const pooled = (rows: Floats, length: number, how: 'mean' | 'last'): Float64Array => {
    const { hiddenSize: D } = base.config;
    const sum = new Float64Array(D);
    for (let t = how === 'last' ? length - 1 : 0; t < length; t++) {
      for (let d = 0; d < D; d++) sum[d] = sum[d] + rows[t * D + d];
    }
    const norm = Math.hypot(...sum);
    return sum.map((value) => value / norm);
  };

  test('are the pooled hidden states of a plain forward pass, with length 1', async () => {
    const inputs = ['pear', 'a quince is a fruit', '日本'];
    const vectors = await embed({ input: inputs });
    const lasts = await embed({ input: inputs, pooling: 'last' });
    for (const [n, input] of inputs.entries()) {
      const ids = [...renderer.renderText(input)];
      const hidden = forwardHidden(base, ids);
      assertClose(vectors[n], pooled(hidden, ids.length, 'mean'), 'f32Long');
      assertClose(lasts[n], pooled(hidden, ids.length, 'last'), 'f32Long');
      assert.ok(Math.abs(Math.hypot(...vectors[n]) - 1) < 1e-6);
      assert.deepEqual(await embed({ input: ids }), [vectors[n]]);
      assert.deepEqual(await embed({ input: [ids] }), [vectors[n]]);
    }
  });

  test('the two formats hold the same numbers; dimensions cuts and brings to length 1 again', async () => {
    const [asFloats] = await embed({ encoding_format: 'float' });
    const [asBase64] = await embed({ encoding_format: 'base64' });
    assert.equal(asFloats.length, 32);
    // The client decodes what it has not asked for as floats.
    const [byDefault] = await embed({});
    assert.deepEqual(byDefault, asFloats);
    const raw = Buffer.from(asBase64 as unknown as string, 'base64');
    assert.deepEqual(
      asFloats.map((_, n) => raw.readFloatLE(4 * n)),
      asFloats,
    );
    const [short] = await embed({ dimensions: 8 });
    const norm = Math.hypot(...asFloats.slice(0, 8));
    assertClose(
      short,
      asFloats.slice(0, 8).map((value) => value / norm),
      'f32Kernel',
    );
    const error = await refusal(embed({ dimensions: 33 }));
    assert.deepEqual([error.status, error.param], [400, 'dimensions']);
  });

  test('an adapter has vectors of its own, and many inputs are the same bits as each alone', async () => {
    const inputs = Array.from({ length: 40 }, (_, n) => 'plum '.repeat(1 + (n % 7)) + n);
    const vectors = await embed({ model: 'acme/reply', input: inputs });
    for (const n of [0, 13, 39]) assert.deepEqual(await embed({ model: 'acme/reply', input: inputs[n] }), [vectors[n]]);
    const adapter = compileAdapter(readArtefact(server.adapterPath('acme/reply'), base), base);
    const ids = [...renderer.renderText(inputs[3])];
    const hidden = forwardHidden(base, ids, spanHooks([{ begin: 0, end: ids.length, adapter }]));
    assertClose(vectors[3], pooled(hidden, ids.length, 'mean'), 'f32Long');
    const { usage, model } = await client.embeddings.create({ model: 'acme/reply', input: inputs });
    const numTokens = inputs.reduce((sum, input) => sum + renderer.renderText(input).length, 0);
    assert.deepEqual([usage.prompt_tokens, usage.total_tokens, model], [numTokens, numTokens, 'acme/reply@1']);
    for (const [input, param] of [
      [['a', ''], 'input[1]'],
      ['word '.repeat(400), 'input'],
      [[9999], 'input'],
    ] as const) {
      assert.equal((await refusal(embed({ input: input as unknown as string[] }))).param, param);
    }
  });
});

test('nothing of all this was an error of the server', assertNoErrors);
